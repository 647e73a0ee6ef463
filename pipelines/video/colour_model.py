"""What colours say of an object's extent: how likely each pixel is object, and the tightest box of what is likely.

Two colour histograms, of the object's box and of the ring around it, give the probability of each pixel by Bayes' rule
(Possegger et al. 2015, "In Defense of Color-based Model-free Tracking", eq. 2; Staple, Bertinetto et al. 2016, section
3.3). The box is grown and shrunk side by side to where the sum of the probabilities less a threshold is highest. In the
first frame the same is done from the given box: how well it is found again, and how few pixels around it look like it,
is how far the colours may be trusted. What is missed on each side is added again later, so that the box keeps the
meaning that the user gave it.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.video.window import Look, crop

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
_BINS = 16  # a colour axis
_SIDE = 96  # pixels of the window
_REACH = 2.4  # its side in longer sides of the box
_LEANS = (0.35, 0.45, 0.55, 0.65)  # probabilities from which a pixel argues for being inside
_RATE = 0.04
_ALIKE = 0.12  # share of likely pixels right around the box at which colours are no help


class ColourModel:
    """`extent(frame, box) -> box or None`; boxes are x0 y0 x1 y1 in pixels of the frame."""

    def __init__(self, frame: Picture | Look, box: Floats) -> None:
        window, local, _ = _window(frame, box)
        self._object, self._around = _histograms(window, local, _cut_out(window, local))
        tries = [(_iou(self._tight(window, local, lean), local), lean) for lean in _LEANS]
        fit, self._lean = max(tries)
        self.trust = self._weighed(window, local, fit)
        found = self._tight(window, local, self._lean)
        size = np.tile(found[2:] - found[:2], 2)
        self._missed = (local - found) / size  # of each side, in sizes of the found box

    def extent(self, frame: Picture | Look, box: Floats) -> Floats | None:
        """The box of the likely pixels about `box`; None where they contradict it or are not to be trusted."""
        if self.trust == 0:
            return None
        window, local, back = _window(frame, box)
        found = self._tight(window, local, self._lean)
        found = found + self._missed * np.tile(found[2:] - found[:2], 2)
        ratio = (found[2:] - found[:2]).prod() / (local[2:] - local[:2]).prod()
        if not 0.4 < ratio < 2.5 or _iou(found, local) < 0.3:
            return None
        return back(found)

    def learn(self, frame: Picture | Look, box: Floats) -> None:
        """Take in the colours of a frame in which the object was surely seen."""
        window, local, _ = _window(frame, box)
        inner, outer = _histograms(window, local, self._likely(window))
        self._object += _RATE * (inner - self._object)
        self._around += _RATE * (outer - self._around)

    def weigh_again(self, frame: Picture | Look, box: Floats) -> None:
        """The object is at another place, before other colours: `trust` is at most what it would be here."""
        window, local, _ = _window(frame, box)
        fit = _iou(self._tight(window, local, self._lean), local)
        self.trust = min(self.trust, self._weighed(window, local, fit))

    def _weighed(self, window: Picture, local: Floats, fit: float) -> float:
        """Trust 0..1: `fit` is the IoU of the box that the colours find."""
        alike = _share_around(self._likely(window), local)
        return float(np.clip((fit - 0.4) / 0.25, 0, 1) * np.clip(1 - alike / _ALIKE, 0, 1))

    def _tight(self, window: Picture, local: Floats, lean: float) -> Floats:
        return _best_box(cv2.blur(self._likely(window), (3, 3)) - lean, local)

    def _likely(self, window: Picture) -> NDArray[np.float32]:
        """H W in 0..1: the probability that a pixel is of the object."""
        likely = self._object / (self._object + self._around + 1e-6)
        return np.asarray(likely[_bins(window)], np.float32)


def _window(frame: Picture | Look, box: Floats) -> tuple[Picture, Floats, Callable[[Floats], Floats]]:
    """The window about a box, the box within it, and the way back to the frame."""
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    extent = float(_REACH * max(size.max(), 8.0))
    scale = _SIDE / extent
    corner = np.tile(middle - extent / 2, 2)
    return crop(frame, middle, extent, _SIDE), (box - corner) * scale, lambda found: np.asarray(found / scale + corner)


def _share_around(likely: NDArray[np.float32], local: Floats) -> float:
    """0..1: how many pixels in a belt around the box look like the object."""
    away = _away(local)
    return float((cv2.blur(likely, (3, 3))[(away > 1.15) & (away < 1.8)] > 0.5).mean())


def _away(local: Floats) -> Floats:
    """H W of the window: distance from the middle of the box, 1 on its border."""
    middle, half = (local[:2] + local[2:]) / 2, (local[2:] - local[:2]) / 2
    y, x = np.arange(_SIDE)[:, None] + 0.5, np.arange(_SIDE)[None] + 0.5
    return np.asarray(np.maximum(np.abs(x - middle[0]) / half[0], np.abs(y - middle[1]) / half[1]))


def _bins(window: Picture) -> NDArray[np.int64]:
    """H W: number of each pixel's colour cell."""
    cell = (window // (256 // _BINS)).astype(np.int64)
    return np.asarray((cell[..., 0] * _BINS + cell[..., 1]) * _BINS + cell[..., 2])


def _cut_out(window: Picture, local: Floats) -> NDArray[np.float32]:
    """H W, 1 where GrabCut (Rother et al. 2004) sees the object of the box, 0 elsewhere."""
    marks = np.zeros(window.shape[:2], np.uint8)
    x0, y0, x1, y1 = np.round(local).astype(int)
    cv2.setRNGSeed(0)
    rect = (int(x0), int(y0), int(x1 - x0), int(y1 - y0))
    cv2.grabCut(window, marks, rect, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_RECT)
    inside = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    if inside.sum() < 0.15 * rect[2] * rect[3]:  # nothing stood out
        return np.ones(window.shape[:2], np.float32)
    return np.asarray(inside, np.float32)


def _histograms(window: Picture, local: Floats, likely: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Shares of the colours of the box, weighted by `likely` and towards its middle, and of all else."""
    cells = _bins(window)
    y, x = np.arange(_SIDE)[:, None] + 0.5, np.arange(_SIDE)[None] + 0.5
    middle, half = (local[:2] + local[2:]) / 2, (local[2:] - local[:2]) / 2
    away = _away(local)
    round_ = ((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2
    weight = np.where(away < 1, np.clip(1 - 0.6 * round_, 0, 1), 0) * (0.1 + likely)  # corners are seldom object
    outside = np.where(away > 1.1, 1.0, np.where(away < 1, 0.5 * (likely < 0.2), 0.0))
    shares = []
    for share in (weight, outside):
        counts = np.bincount(cells.ravel(), share.ravel(), _BINS**3).reshape((_BINS,) * 3)
        even = cv2.GaussianBlur(counts.reshape(_BINS, -1), (1, 3), 0.6).ravel()  # a little change of light
        shares.append(np.asarray(even / max(even.sum(), 1e-9), np.float64))
    return shares[0], shares[1]


def _best_box(value: NDArray[np.float32], start: Floats) -> Floats:
    """From `start`, the span of columns and of rows of the highest sum, in turn, until nothing changes."""
    side = len(value)
    box = np.clip(np.round(start), 0, side).astype(int)
    for _ in range(3):
        before = box.copy()
        for axis in (0, 1):
            low, high = box[1 - axis], max(box[3 - axis], box[1 - axis] + 2)
            line = (value[low:high] if axis == 0 else value[:, low:high]).mean(axis=axis)
            box[axis], box[axis + 2] = _best_span(line, (box[axis] + box[axis + 2]) // 2)
        if (box == before).all():
            break
    return box.astype(np.float64)


def _best_span(line: NDArray[np.float32], middle: int) -> tuple[int, int]:
    """The span about `middle` whose sum is highest."""
    middle = int(np.clip(middle, 2, len(line) - 3))
    left = np.cumsum(line[:middle][::-1])
    right = np.cumsum(line[middle:])
    return middle - 1 - int(left.argmax()), middle + 1 + int(right.argmax())


def _iou(one: Floats, other: Floats) -> float:
    sides = np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0)
    common = sides.prod()
    areas = (one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - common
    return float(common / areas) if areas > 0 else 0.0
