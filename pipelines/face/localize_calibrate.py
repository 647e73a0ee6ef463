"""`vitapps face calibrate localize`: slope, offset and threshold of the fused evidence, from untouched pictures.

The pictures are edited by `datasets/synth/tampering.py`. The offset is the threshold of best mean F1 over the edited
ones, so that 0.5 is the operating point; the slope is that of the logistic regression through it; the picture's
threshold leaves 10 % of the untouched ones above it.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.presentation_attacks import pictures_of
from vitapps.datasets.synth.tampering import tamper
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.evidence.fuse import (
    Calibration,
    Map,
    gather,
    guide_of,
    local_sum,
    picture_score,
)
from vitapps.pipelines.face.scores import f1_of
from vitapps.progress import Progress, null_progress

FALSE_ALARMS = 0.10
_STEPS = np.linspace(-2, 10, 49)
_LONGEST = 800


def calibrate(pictures: Path, *, number: int = 120, seed: int = 0, progress: Progress = null_progress) -> Calibration:
    """Fit on `number` edited pictures made from those in the folder (two at least; UnreadableInputError)."""
    paths = pictures_of(pictures)
    if len(paths) < 2:
        raise UnreadableInputError(f"{pictures}: one picture", hint="give a folder of untouched photographs")
    sums: list[tuple[Map, NDArray[np.bool_]]] = []
    rng = np.random.default_rng(seed)
    with progress.task("edited pictures", total=number) as task:
        for index in range(number):
            target, donor = (_small(paths[place]) for place in rng.choice(len(paths), 2, replace=False))
            edited = tamper(target, donor, seed * 100_003 + index)
            sums.append(_local(edited.image, edited.mask))
            task.advance()
    offset = float(_STEPS[int(np.argmax([_mean_f1(sums, step) for step in _STEPS]))])
    slope = _slope(sums, offset)
    scores = [picture_score(1 / (1 + np.exp(-slope * (part - offset)))) for part, mask in sums if not mask.any()]
    threshold = float(np.quantile(scores, 1 - FALSE_ALARMS)) if scores else 0.5
    return Calibration(
        slope=round(slope, 3), offset=round(offset, 3), threshold=round(threshold, 3),
        source=f"{number} pictures edited by datasets/synth from {len(paths)} untouched ones, seed {seed}",
    )  # fmt: skip


def calibration_text(calibration: Calibration) -> str:
    """As TOML."""
    return "".join(
        f'{key} = "{value}"\n' if isinstance(value, str) else f"{key} = {value}\n"
        for key, value in asdict(calibration).items()
    )


def read_calibration(path: Path) -> Calibration:
    """A file of `face calibrate localize`; raises UnreadableInputError."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Calibration(**{key: type(value)(table[key]) for key, value in asdict(Calibration()).items()})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableInputError(
            f"{path}: not a calibration: {error}", hint="make one with `vitapps face calibrate localize`"
        ) from None


def _small(path: Path) -> NDArray[np.uint8]:
    pixels = read_picture(path).pixels
    scale = _LONGEST / max(pixels.shape[:2])
    return (
        np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)) if scale < 1 else pixels
    )


def _local(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[Map, NDArray[np.bool_]]:
    """The fused local sum of a picture, and its mask on the same grid."""
    evidence = gather(pixels, "ela")  # the local traces without the search for copies
    height, width = evidence.map.shape
    guide = guide_of(pixels, height, width)
    truth = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) > 127
    return local_sum(evidence.parts, guide), truth


def _mean_f1(sums: list[tuple[Map, NDArray[np.bool_]]], step: float) -> float:
    return float(np.mean([f1_of(part >= step, mask) for part, mask in sums if mask.any()] or [0.0]))


def _slope(sums: list[tuple[Map, NDArray[np.bool_]]], offset: float) -> float:
    """Maximum likelihood of the logistic curve through `offset`, every picture with the same weight, by search."""
    slopes = np.linspace(0.1, 2.0, 39)
    losses = []
    for slope in slopes:
        curves = ((slope * (part - offset), mask) for part, mask in sums)
        losses.append(np.mean([np.logaddexp(0, np.where(mask, -curve, curve)).mean() for curve, mask in curves]))
    return float(slopes[int(np.argmin(losses))])
