"""Dice, 95th percentile Hausdorff distance and surface Dice of label maps on one grid, with MONAI's metrics.

MONAI (and torch) are imported only here: they score, they do not segment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.progress import Progress, null_progress
from vitapps.require import require

MARGIN = 2  # voxels around both masks; distances are between their surfaces, nothing outside matters


@dataclass(frozen=True, slots=True)
class LabelScore:
    """`dice` and `surface_dice` 0..1, `hd95_mm` in mm; NaN where a surface does not exist on one side."""

    value: int
    name: str
    dice: float
    hd95_mm: float
    surface_dice: float
    truth_ml: float
    pred_ml: float


def score_labels(
    pred: NDArray[Any],
    truth: NDArray[Any],
    spacing: Sequence[float],
    voxel_ml: float,
    names: Mapping[int, str],
    *,
    tolerance_mm: float = 1.0,
    progress: Progress = null_progress,
) -> tuple[LabelScore, ...]:
    """Score every label that occurs in `truth` (0 aside); both X Y Z on the same grid, `spacing` in mm.

    `tolerance_mm` is the distance that the surface Dice forgives (Nikolov et al. 2021, arXiv:1809.04430).
    """
    values = [int(value) for value in np.unique(truth) if value > 0]
    found = []
    with progress.task("scoring", total=len(values)) as task:
        for value in values:
            a, b = _cropped(pred == value, truth == value)
            found.append(_score(a, b, value, names.get(value, str(value)), spacing, voxel_ml, tolerance_mm))
            task.advance()
    return tuple(found)


def _score(
    pred: NDArray[np.bool_], truth: NDArray[np.bool_], value: int, name: str, spacing: Sequence[float],
    voxel_ml: float, tolerance_mm: float,
) -> LabelScore:  # fmt: skip
    import torch

    metrics = require("monai.metrics", extra="train")
    truth_ml, pred_ml = float(truth.sum()) * voxel_ml, float(pred.sum()) * voxel_ml
    if not pred.any():
        return LabelScore(value, name, 0.0, math.nan, 0.0, truth_ml, 0.0)
    a, b = (torch.from_numpy(mask[None, None]) for mask in (pred, truth))  # X Y Z -> 1 1 X Y Z
    dice = metrics.compute_dice(a.float(), b.float(), include_background=True)
    distance = metrics.compute_hausdorff_distance(
        a, b, include_background=True, percentile=95, spacing=list(spacing)
    )  # fmt: skip
    surface = metrics.compute_surface_dice(
        a, b, class_thresholds=[tolerance_mm], include_background=True, spacing=list(spacing)
    )
    return LabelScore(value, name, float(dice), float(distance), float(surface), truth_ml, pred_ml)


def _cropped(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both masks within their common bounding box and a margin, padded where the box touches the border."""
    either = a | b
    box = []
    for axis in range(3):
        others: Any = tuple(i for i in range(3) if i != axis)
        used = np.flatnonzero(either.any(axis=others))
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return np.pad(a[tuple(box)], MARGIN), np.pad(b[tuple(box)], MARGIN)
