"""`vitapps models int8`: a card with an int8 graph, calibrated on what its own pipeline gives the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import check_output
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.batch.record_inputs import Inputs, record_inputs
from vitapps.pipelines.runtime.measure import interleaved
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.engines.check_input import relative_error
from vitapps.shared_backbones.engines.graph import compile_card_graph
from vitapps.shared_backbones.engines.int8 import Layers
from vitapps.shared_backbones.engines.machine import usable_cores
from vitapps.shared_backbones.weights.cards import load_card
from vitapps.shared_backbones.weights.int8_card import int8_card

_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Report:
    """`card` written; `error`: of the int8 graph's outputs on a calibration input, relative to their largest value;
    `exact_ms` and `int8_ms`: CPU time of one call, `gain` the median over interleaved rounds; bytes of both graphs."""

    card: Path
    inputs: int
    error: float
    exact_ms: float
    int8_ms: float
    gain: float
    exact_size: int
    int8_size: int


def make_int8(
    name: str, calib: Path, out: Path, *, layers: Layers = "all", limit: int = 32, options: RunOptions,
    progress: Progress = null_progress,
) -> Int8Report:  # fmt: skip
    """Write the card `name` with all its files and an int8 graph to the folder `out`.

    `calib`: a folder of files as the card's task reads them, or of `.npy` inputs C *spatial as the network takes them;
    at most `limit` inputs calibrate. Raises UnreadableInputError, UsageError, MissingError or OutputError.
    """
    card = load_card(name)
    if out.exists():
        source = card.folder / f"{card.name}.toml"
        check_output(_card_of(out, card.name), overwrite=options.overwrite, sources=[source])
    inputs = saved_inputs(calib)[:limit] or record_inputs(
        card, calib, limit=limit, options=options, progress=progress
    )  # fmt: skip
    made = int8_card(card, out, inputs, layers=layers)
    threads = options.threads or usable_cores()
    models = {
        precision: compile_card_graph(made, engine="openvino", precision=precision, threads=threads)
        for precision in ("exact", "int8")
    }
    seconds = interleaved({key: _call(model, inputs[0]) for key, model in models.items()}, _ROUNDS)
    return Int8Report(
        card=_card_of(out, card.name), inputs=len(inputs),
        error=relative_error(models["int8"](inputs[0]), models["exact"](inputs[0])),
        exact_ms=1e3 * median(seconds["exact"]), int8_ms=1e3 * median(seconds["int8"]),
        gain=median(slow / fast for slow, fast in zip(seconds["exact"], seconds["int8"], strict=True)),
        exact_size=made.graph_size, int8_size=made.int8_size,
    )  # fmt: skip


def saved_inputs(folder: Path) -> Inputs:
    """The `.npy` files of a folder, sorted, 1 C *spatial float32 each; none where there are none."""
    paths = sorted(folder.glob("*.npy"))
    try:
        arrays = [np.load(path, allow_pickle=False) for path in paths]
        return [np.ascontiguousarray(array, np.float32)[None] for array in arrays]
    except (OSError, ValueError) as error:
        raise UnreadableInputError(f"{folder}: not arrays of numbers: {error}", hint="numpy.save") from None


def _call(model: Callable[..., Any], image: NDArray[np.float32]) -> Callable[[], Sequence[Any]]:
    return lambda: model(image)


def _card_of(out: Path, name: str) -> Path:
    return out / f"{name}.toml"
