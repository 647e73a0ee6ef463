"""`--reduce` for a card: its network with a token reducer in the ViT's slot, as a graph that is made once a machine.

Making the graph takes torch and some seconds. It is kept in a folder of the cache that is named by everything it
depends on, together with a check that the reduced torch network has answered; from then on nothing of torch is needed,
and engines are chosen and compiled as for any card. The reducer's place in the network is a slot, so the weights are
those of the card, and dense heads get the full grid back inside the graph.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from vitapps.errors import MissingError
from vitapps.options import NO_REDUCTION
from vitapps.shared_backbones.engines.cache import cache_folder, entry_key
from vitapps.shared_backbones.engines.graph import input_shape, output_names
from vitapps.shared_backbones.weights.cards import Card, load_card

log = logging.getLogger("vitapps.engines.reduced")
FOLDER = "reduced"  # of the cache
_KEPT = 16  # networks; the ones used longest ago go
_REVISION = 1  # of the reducers: another number forgets every graph made before


def reduced_card(card: Card, spec: str, *, graph: bool = True) -> Card:
    """`card` with the reduction of `spec` (`token_reduction/spec.py`) in its network; `card` itself for "none".

    `graph` False: for the torch engines, which build the network from the configuration. Raises UsageError where the
    spec is wrong or the network has no ViT, MissingError where the cache cannot be written.
    """
    spec = spec.strip()
    if spec == NO_REDUCTION:
        return card
    config = {**card.config, "reduction": spec}
    without = dataclasses.replace(card, config=config, int8_file="", int8_sha256="", int8_size=0)
    if not graph:
        return without
    made = load_card(_folder(without) / f"{card.name}.toml")
    return dataclasses.replace(
        without, graph_file=str(made.folder / made.graph_file), graph_sha256=made.graph_sha256,
        graph_size=made.graph_size, check={**made.check, "file": str(made.folder / str(made.check["file"]))},
    )  # fmt: skip


def _folder(card: Card) -> Path:
    """Where the network of `card` stands as a card of its own, made if it is not there."""
    key = entry_key({
        "weights": card.sha256, "config": card.config, "check": card.check.get("sha256"), "revision": _REVISION,
    })  # fmt: skip
    folder = cache_folder() / FOLDER / key
    if (folder / f"{card.name}.toml").is_file():
        with suppress(OSError):
            os.utime(folder)
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
    except OSError as error:
        raise MissingError(
            f"{folder.parent}: a reduced network cannot be kept: {error}", hint="set VITAPPS_CACHE to another folder"
        ) from None
    try:
        _make(card, unfinished)
        with suppress(OSError):  # another process was quicker
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _forget_oldest(folder.parent)
    return folder


def _make(card: Card, folder: Path) -> None:
    """Publish the reduced network of `card` to `folder`."""
    import torch

    from vitapps.shared_backbones.engines.check_input import read_check
    from vitapps.shared_backbones.weights.load import load_module
    from vitapps.shared_backbones.weights.publish import publish

    log.info("%s: making the graph with --reduce %s, once", card.name, card.config["reduction"])
    plain = dataclasses.replace(card, config={k: v for k, v in card.config.items() if k != "reduction"})
    shape, names = input_shape(plain), output_names(plain)
    module = load_module(card)
    typical = read_check(plain)[0] if plain.check else None
    fields = {item: getattr(card, item) for item in ("name", "task", "arch", "config", "summary", "licence")}
    publish(module, fields, folder, example=torch.zeros(shape), output_names=names, typical=typical)


def _forget_oldest(folder: Path) -> None:
    found = []
    for path in folder.iterdir():
        with suppress(OSError):
            found.append((path.stat().st_mtime, path))
    for _, path in sorted(found, reverse=True)[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
