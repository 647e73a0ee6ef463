"""`vitapps models export`: a card's network as a file for other programs, checked against its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.atomic import atomic_path, check_output
from vitapps.errors import UsageError
from vitapps.provenance import RunRecord, sha256_file, write_run_record
from vitapps.shared_backbones.engines.exported import SUFFIXES, Form, export_module
from vitapps.shared_backbones.engines.graph import input_shape, output_names
from vitapps.shared_backbones.slots import members
from vitapps.shared_backbones.weights.cards import load_card
from vitapps.shared_backbones.weights.load import load_module


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """`error`: the largest difference of what was read back from its source, over the largest value; `input_shape` with
    -1 for the free batch; `size` bytes of all files."""

    out: Path
    form: Form
    model: str
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    error: float
    size: int


def export_model(name: str, out: Path, form: Form, *, overwrite: bool = False, command: str = "") -> Exported:
    """Write the network of card `name` to `out`, whose suffix must be that of the form.

    Raises UsageError for another suffix or where the card holds no network, OutputError where `out` cannot be written,
    VitappsError when the file computes something else than the card's weights do; then no file is left.
    """
    import torch

    if out.suffix != SUFFIXES[form]:
        raise UsageError(f"-o {out}: a {form} file ends in {SUFFIXES[form]}", hint=f"-o {out.stem}{SUFFIXES[form]}")
    check_output(out, overwrite=overwrite)
    card = load_card(name)
    if card.arch not in members("models"):
        raise UsageError(f"{name} is no network but a {card.arch.replace('_', ' ')}", hint="`vitapps models info NAME`")
    shape = input_shape(card)
    names = output_names(card)
    module = load_module(card)
    with atomic_path(out, overwrite=overwrite) as temporary:
        error = export_module(module, torch.zeros(shape), temporary, form, names)
    size = sum(part.stat().st_size for part in (out, out.with_suffix(".bin")) if part.is_file())
    record = RunRecord(
        command=command, weights={card.name: card.sha256},
        results={
            "sha256": sha256_file(out), "form": form, "error": error, "input_shape": [-1, *shape[1:]],
            "outputs": list(names),
        },
    )  # fmt: skip
    write_run_record(out, record)
    return Exported(
        out=out, form=form, model=card.name, input_shape=(-1, *shape[1:]), outputs=names, error=error, size=size
    )
