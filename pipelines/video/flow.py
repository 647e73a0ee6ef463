"""Boxes followed by sparse optical flow: points on a grid, forth and back, and the median of what they say.

MedianFlow (Kalal et al. 2010, "Forward-Backward Error: Automatic Detection of Tracking Failures"): the box moves by the
median of its points and grows by the median ratio of their distances, here along each axis apart; points whose way
back misses the start do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]
_WINDOW = (15, 15)
_GRID = 9  # points a side
_FAR = 1.5  # pixels that a point may miss its start by


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """`box` x0 y0 x1 y1 where it went; `support` 0..1: share of the points that agree."""

    box: Floats
    support: float


def follow(before: Grey, after: Grey, box: Floats, *, levels: int = 3, guess: Floats | None = None) -> Motion:
    """Where `box` (x0 y0 x1 y1) of `before` is in `after`, two grey pictures H W of one size; `guess`: how far x y it
    seems to have gone, from which the points begin (what goes further than a few pixels they do not find alone)."""
    points = _points(box, before.shape)
    if len(points) < 6:
        return Motion(box=box, support=0.0)
    there, found = _flow(before, after, points, levels, guess)
    back, also = _flow(after, before, there, levels, None if guess is None else -guess)
    error = np.linalg.norm(back - points, axis=1)
    good = found & also & (error < _FAR)
    if good.sum() < 6:
        return Motion(box=box, support=0.0)
    start, end = points[good].astype(np.float64), there[good].astype(np.float64)
    shift = np.median(end - start, axis=0)
    agree = np.linalg.norm(end - start - shift, axis=1) < 0.15 * np.sqrt((box[2:] - box[:2]).prod()) + 1
    if agree.sum() < 6:
        return Motion(box=box, support=0.0)
    scale = _growth(start[agree], end[agree])
    middle, half = (box[:2] + box[2:]) / 2 + shift, (box[2:] - box[:2]) / 2 * scale
    return Motion(box=np.concatenate([middle - half, middle + half]), support=float(agree.sum() / len(points)))


def follow_boxes(grey: Sequence[Grey], boxes: Floats, *, least: float = 0.6) -> list[list[Floats]]:
    """For each of `boxes` (n 4, in the first picture) its boxes in the first, second, … picture, as long as `least` of
    its points agree and it stays within the picture."""
    height, width = grey[0].shape
    paths = []
    for box in boxes:
        path = [box]
        for before, after in pairwise(grey):
            motion = follow(before, after, path[-1])
            x0, y0, x1, y1 = motion.box
            if motion.support < least or x0 < -4 or y0 < -4 or x1 > width + 4 or y1 > height + 4:
                break
            path.append(motion.box)
        paths.append(path)
    return paths


def _points(box: Floats, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """n 2: a grid over the inner part of the box, within the picture."""
    inset = 0.1 * (box[2:] - box[:2])
    x = np.linspace(box[0] + inset[0], box[2] - inset[0], _GRID)
    y = np.linspace(box[1] + inset[1], box[3] - inset[1], _GRID)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    inside = (points >= 0).all(axis=1) & (points < [shape[1], shape[0]]).all(axis=1)
    return points[inside].astype(np.float32)


def _flow(
    before: Grey, after: Grey, points: NDArray[np.float32], levels: int, guess: Floats | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    begin = np.empty(0, np.float32) if guess is None else np.asarray(points + guess, np.float32).reshape(-1, 1, 2)
    there, status, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points[:, None], begin, winSize=_WINDOW, maxLevel=levels,
        flags=0 if guess is None else cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return np.asarray(there, np.float32).reshape(-1, 2), np.asarray(status).reshape(-1) == 1


def _growth(start: Floats, end: Floats) -> Floats:
    """Factors of width and height: the median ratio of the distances between points along each axis, 0.9 to 1.1."""
    return np.array([_stretch(start[:, axis], end[:, axis]) for axis in (0, 1)])


def _stretch(start: Floats, end: Floats) -> float:
    """Of one coordinate of the points."""
    ratios = []
    for step in (1, 3, len(start) // 2):
        before, after = np.abs(start - np.roll(start, step)), np.abs(end - np.roll(end, step))
        ratios.append(after[before > 4] / before[before > 4])
    joined = np.concatenate(ratios)
    return float(np.clip(np.median(joined), 0.9, 1.1)) if len(joined) else 1.0
