"""From DICOM positions to one regular grid: slice order, spacing, gantry tilt, missing and doubled slices.

DICOM PS3.3 C.7.6.2.1.1 (equation C.7.6.2.1-1): a pixel of column i, row j lies at position + row_cosines *
column_spacing * i + column_cosines * row_spacing * j, in patient LPS mm. The slice step comes from the positions, never
from SliceThickness.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.volume_types import lps_to_ras
from vitapps.errors import UnreadableInputError

SAME_PLACE_MM = 1e-3
UNEVEN = 0.1  # share of the slice step by which a gap may differ
TILT_DEGREES = 0.5
ONE_DIRECTION = 1e-3
MOST_NAMED = 4  # files of a message


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice: which data set and frame, where it lies (LPS mm), and its rescaling."""

    dataset: Any
    number: int
    position: tuple[float, float, float]
    cosines: tuple[float, ...]  # row direction x y z, column direction x y z
    spacing: tuple[float, float]  # between rows, between columns
    slope: float
    intercept: float
    order: tuple[float, ...]  # sorts frames that share a position: echo, time point, instance


@dataclass(frozen=True, slots=True)
class Stack:
    """Frames in ascending order along the slice normal, and the affine of the grid they make (RAS+ mm)."""

    frames: tuple[Frame, ...]
    affine: NDArray[np.float64]
    warnings: tuple[str, ...]


def stack_frames(path: Path, frames: list[Frame], volume: int | None) -> Stack:
    """Order the frames and check that they make one grid. Raises UnreadableInputError where they do not."""
    _check_alike(path, frames)
    normal = np.cross(frames[0].cosines[:3], frames[0].cosines[3:])
    chosen = _one_per_place(path, frames, normal, volume)
    positions = np.array([frame.position for frame in chosen])  # N 3
    if len(chosen) < 2:
        raise UnreadableInputError(f"{path}: a single DICOM slice, not a volume", hint="give the folder of the series")
    step = (positions[-1] - positions[0]) / (len(chosen) - 1)
    warnings = _check_gaps(path, positions @ normal) + _tilt(step, normal)
    first = chosen[0]
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.cosines[:3]) * first.spacing[1]
    affine[:3, 1] = np.array(first.cosines[3:]) * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return Stack(tuple(chosen), lps_to_ras(affine), tuple(warnings))


def _check_alike(path: Path, frames: list[Frame]) -> None:
    sizes = {(int(frame.dataset.Rows), int(frame.dataset.Columns)) for frame in frames}
    if len(sizes) > 1:
        raise UnreadableInputError(f"{path}: slices of different size {sorted(sizes)}", hint="split the series")
    cosines = np.array([frame.cosines for frame in frames])
    usual = np.median(cosines, axis=0)
    others = [frame for frame in frames if np.abs(frame.cosines - usual).max() > ONE_DIRECTION]
    if others:
        names = sorted({Path(str(frame.dataset.filename)).name for frame in others})
        told = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
        raise UnreadableInputError(
            f"{path}: the slices have different orientations, those of {told} differ from most (a localizer?)",
            hint="move these files elsewhere, or choose another scan with --series UID",
        )
    spacings = np.array([frame.spacing for frame in frames])
    if np.abs(spacings - spacings[0]).max() > SAME_PLACE_MM:
        raise UnreadableInputError(f"{path}: the slices have different pixel spacings", hint="split the series")


def _one_per_place(path: Path, frames: list[Frame], normal: NDArray[Any], volume: int | None) -> list[Frame]:
    """Sort by position along the normal; of several frames at each place take number `volume`."""
    places: dict[int, list[Frame]] = defaultdict(list)
    ordered = sorted(frames, key=lambda frame: float(np.dot(frame.position, normal)))
    last, key = -np.inf, -1
    for frame in ordered:
        along = float(np.dot(frame.position, normal))
        if along - last > SAME_PLACE_MM:
            last, key = along, key + 1
        places[key].append(frame)
    counts = {len(group) for group in places.values()}
    if counts == {1}:
        if volume:
            raise UnreadableInputError(f"{path}: there is no volume {volume}, it has 1", hint="--volume 0")
        return [places[index][0] for index in sorted(places)]
    if len(counts) > 1:
        raise UnreadableInputError(
            f"{path}: between {min(counts)} and {max(counts)} slices at one position: several scans are mixed, "
            "or a slice is missing",
            hint="export one scan alone, or choose with --series UID",
        )
    number = counts.pop()
    if volume is None or not 0 <= volume < number:
        raise UnreadableInputError(
            f"{path}: {number} slices at every position (echoes or time points)",
            hint=f"choose one with --volume 0 .. {number - 1}",
        )
    return [sorted(places[index], key=lambda frame: frame.order)[volume] for index in sorted(places)]


def _check_gaps(path: Path, along: NDArray[np.float64]) -> list[str]:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    uneven = np.abs(gaps - usual) > UNEVEN * usual
    if uneven.any():
        at = int(np.argmax(uneven))
        lost = max(0, sum(round(float(gap) / usual) - 1 for gap in gaps[uneven]))
        told = f"about {lost} missing" if lost else "uneven spacing"
        raise UnreadableInputError(
            f"{path}: slices are not evenly spaced, {told}: {gaps[at]:.2f} mm instead of {usual:.2f} mm after slice "
            f"{at + 1} of {len(along)}",
            hint="export the whole series again, or resample it to an even spacing",
        )
    if np.abs(gaps - usual).max() > 0.01 * usual:
        return [f"slice spacing varies from {gaps.min():.3f} to {gaps.max():.3f} mm: the mean is used"]
    return []


def _tilt(step: NDArray[np.float64], normal: NDArray[Any]) -> list[str]:
    cosine = float(np.dot(step, normal) / np.linalg.norm(step))
    degrees = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    return [f"gantry tilt of {degrees:.1f} degrees: kept as a sheared affine"] if degrees > TILT_DEGREES else []
