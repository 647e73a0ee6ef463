"""Cards whose weights are plain arrays that numpy computes with: projections, linear machines, cascades."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.require import require
from vitapps.shared_backbones.weights.cards import Card

Arrays = dict[str, NDArray[Any]]


def read_arrays(name: str, task: str) -> tuple[Card, Arrays, NetworkFacts]:
    """By card name or path; MissingError for a card of another task. Neither torch nor a graph is used."""
    from vitapps.shared_backbones.weights.cards import load_card, weights_path

    card = load_card(name, task)
    arrays = require("safetensors.numpy", package="safetensors").load_file(str(weights_path(card)))
    facts = NetworkFacts(
        name=card.name, sha256=card.sha256, engine="numpy", precision="exact", device="cpu", threads=1,
        reason="no network",
    )  # fmt: skip
    return card, arrays, facts


def write_arrays(card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], out: Path) -> Path:
    """Write `NAME.safetensors` and `NAME.toml` to `out` and return the latter; `card` holds the fields of `Card` but
    for files, sizes and checksums."""
    from vitapps.atomic import atomic_path
    from vitapps.provenance import sha256_file
    from vitapps.shared_backbones.weights.cards import write_card

    files = require("safetensors.numpy", package="safetensors")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{card['name']}.toml"
    with atomic_path(path, overwrite=True) as temporary:
        weights = temporary.with_suffix(".safetensors")
        files.save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, str(weights))
        full = Card(
            **card, weights_file=weights.name, sha256=sha256_file(weights), size=weights.stat().st_size, folder=out
        )
        write_card(full, temporary)
    return path
