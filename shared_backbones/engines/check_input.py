"""A card's check: one input and samples of the right answer, against which every engine can be measured anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.require import require
from vitapps.shared_backbones.engines.model import Arrays
from vitapps.shared_backbones.weights.cards import Card, check_path

SAMPLES = 16384  # values kept of each output
_DEFAULT_LIMITS = {"exact": 1e-3, "bf16": 2e-2, "int8": 1e-1}


def sampled(output: NDArray[Any]) -> NDArray[np.float32]:
    """At most `SAMPLES` values of an array, at regular steps through it."""
    flat = np.asarray(output, np.float32).ravel()
    return flat[:: max(1, -(-flat.size // SAMPLES))]


def relative_error(found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]]) -> float:
    """The largest difference over the largest wanted value, of the worst output; infinite where shapes differ or a
    value is not finite."""
    if len(found) != len(wanted):
        return float("inf")
    worst = 0.0
    for ours, theirs in zip(found, wanted, strict=True):
        if ours.shape != theirs.shape or not np.isfinite(ours).all():
            return float("inf")
        worst = max(worst, float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-6)))
    return worst


def enlarged(image: NDArray[Any], times: int) -> NDArray[np.float32]:
    """B C *spatial, each value `times` times along every spatial axis: a large input in a small file."""
    wide = np.asarray(image, np.float32)
    for axis in range(2, wide.ndim if times > 1 else 0):
        wide = np.repeat(wide, times, axis)
    return wide


def write_check(path: Path, image: NDArray[np.float32], outputs: Arrays, *, times: int = 1) -> None:
    """Store an input B C *spatial (as halves: pass what halves can hold) and samples of the outputs of
    `enlarged(image, times)`."""
    files = require("safetensors.numpy", package="safetensors")
    table = {f"output.{index}": sampled(output).copy() for index, output in enumerate(outputs)}
    files.save_file({"input": image.astype(np.float16), **table}, str(path), metadata={"times": str(times)})


def read_check(card: Card) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Input and sampled outputs of a card's check file. Raises MissingError when it is absent or damaged."""
    path = check_path(card)
    files = require("safetensors.numpy", package="safetensors")
    try:
        table: dict[str, NDArray[Any]] = files.load_file(path)
        with require("safetensors").safe_open(str(path), "numpy") as stored:
            times = int((stored.metadata() or {}).get("times", 1))
        outputs = [table[f"output.{index}"] for index in range(len(table) - 1)]
        return enlarged(table["input"], times), outputs
    except Exception as error:  # safetensors raises its own kinds, none of them public across versions
        raise MissingError(f"{path}: not a readable check: {error}", hint="reinstall vitapps") from None


def made_up_input(shape: Sequence[int]) -> NDArray[np.float32]:
    """Uniform noise in 0..1, the same on every machine: what a card without a check file is measured on."""
    return np.random.default_rng(0).random(tuple(shape), np.float32)


def allowed_error(card: Card, precision: str) -> float | None:
    """The relative error that a card's `tolerance` grants a precision; None: `auto` may not use it.

    `true` stands for the usual bound of the precision (bf16 2e-2, int8 1e-1); exact needs no permission.
    """
    granted = card.tolerance.get(precision, precision == "exact")
    if granted is False or precision not in _DEFAULT_LIMITS:
        return None
    return _DEFAULT_LIMITS[precision] if granted is True else float(granted)
