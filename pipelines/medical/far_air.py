"""Air far from the head, cut off before a scan is looked at.

Grids of 600 mm and more, in which a scan was put by resampling or registration, hold mostly nothing. It would cost a
network minutes, and shift the percentiles by which the brightness is scaled. Scans of a usual length are left alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.volume import Volume

USUAL_MM = 320.0  # head and neck with air around them
MARGIN_MM = 10.0  # of the air that stays

Box = tuple[slice, slice, slice]


def without_far_air(volume: Volume) -> tuple[Volume, Box]:
    """The part of `volume` that holds something, on each axis which is longer than USUAL_MM, and where it lies.

    Nothing is what has the value of the corners, which a tool has filled in. The affine of the part leads to the same
    places.
    """
    whole: Box = (slice(0, volume.meta.shape[0]), slice(0, volume.meta.shape[1]), slice(0, volume.meta.shape[2]))
    lengths = [size * step for size, step in zip(volume.meta.shape, volume.meta.spacing, strict=True)]
    if max(lengths) <= USUAL_MM:
        return volume, whole
    something = _differs(volume.array, _of_corners(volume.array))
    x, y, z = (
        _span(np.asarray(something.any(axis=tuple({0, 1, 2} - {axis}))), volume.meta.spacing[axis])
        if lengths[axis] > USUAL_MM else whole[axis]
        for axis in range(3)
    )  # fmt: skip
    affine = volume.meta.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [x.start, y.start, z.start]
    array = volume.array[x, y, z]
    return Volume(array, replace(volume.meta, shape=array.shape, affine=affine)), (x, y, z)


def _of_corners(array: NDArray[Any]) -> Any:
    """The value that most of the eight corners have."""
    values, counts = np.unique(array[np.ix_(*([0, -1],) * 3)], return_counts=True)
    return values[counts.argmax()]


def _differs(array: NDArray[Any], value: Any) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(array) if np.isnan(value) else array != value)


def _span(filled: NDArray[np.bool_], step: float) -> slice:
    """From the first to the last filled plane, with MARGIN_MM on both sides where there is so much."""
    where = np.flatnonzero(filled)
    margin = int(np.ceil(MARGIN_MM / step))
    if not len(where):
        return slice(0, len(filled))
    return slice(max(0, int(where[0]) - margin), min(len(filled), int(where[-1]) + 1 + margin))
