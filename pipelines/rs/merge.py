"""One object, one box: which window owns a candidate, and which candidates a window has cut."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.windows.boxes import Floats

CUT = 3.0  # pixels: a box that ends this near to an inner window edge was cut by it
_MARGIN = (
    16  # pixels by which the owned parts overlap, so that a centre that jitters across a seam is lost by no window
)

Starts = tuple[int, ...]


def window_starts(length: int, window: int, overlap: float) -> Starts:
    """Origins of windows along an axis of `length` pixels, `overlap` 0..1 of a window; the last ends at the border."""
    step = max(1, round(window * (1 - overlap)))
    if length <= window:
        return (0,)
    return (*range(0, length - window, step), length - window)


def owned_spans(starts: Sequence[int], window: int, length: int) -> Floats:
    """What each window of one axis owns, `n 2` (from, to): seams lie in the middle of the overlaps."""
    seams = [(left + window + right) / 2 for left, right in itertools.pairwise(starts)]
    return np.array([[0, *seams], [*seams, max(length, window)]], float).T


def judge_in_window(
    boxes: Floats, owned: Floats, inner: NDArray[np.bool_], window: int, overlap: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which candidates `n 4` (pixels of their window) count, and which the window may have cut.

    `owned` n 4 is what the window owns (x0 y0 x1 y1) and must hold the centre of the box; `inner` n 4 tells which edges
    (left, top, right, bottom) of the window are not borders of the raster. A box that ends at an inner edge was cut; a
    neighbour sees it whole, unless it is about as large as the overlap of the windows in that direction.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centre >= owned[:, :2] - _MARGIN) & (centre < owned[:, 2:] + _MARGIN)).all(axis=1)
    ends = np.concatenate([boxes[:, :2], window - boxes[:, 2:]], axis=1)  # n 4: distance of each side to its edge
    near = np.asarray((ends < CUT) & inner)
    cut = near[:, :2] | near[:, 2:]  # n 4 -> n 2: across, down
    large = boxes[:, 2:] - boxes[:, :2] > window * overlap - 2 * CUT
    return np.asarray(inside & ~(cut & ~large).any(axis=1)), np.asarray(cut.any(axis=1))


def kept_in_window(
    boxes: Floats, owned: Floats, inner: NDArray[np.bool_], window: int, overlap: float
) -> NDArray[np.bool_]:
    """Which candidates `n 4` count, by `judge_in_window`."""
    return judge_in_window(boxes, owned, inner, window, overlap)[0]
