"""What an object and its surroundings look like: two colour histograms, one of the first frame, one that follows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_BINS = 24  # along each axis of Lab
_LOWEST = np.array([0, -60, -60], np.float32)  # L, a, b of the first bin
_EXTENT = np.array([100, 120, 120], np.float32)
_FLOOR = 2e-5  # share of pixels of a colour never seen
_LIMIT = 3.0  # largest log ratio
_FIRST = 0.8  # weight of the first frame, which a person has marked
_RATE = 0.1  # of following, a frame
_NEAR = 0.7  # share of the background's histogram that is taken beside the object
_LARGEST_RING = 40  # pixels


def lab_of(pixels: NDArray[np.uint8]) -> Floats:
    """H W 3 RGB -> H W 3 Lab, L 0..100."""
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


class ColourModel:
    """Log ratio of object to background for every colour; soft masks are H W in 0..1."""

    def __init__(self, lab: Floats, mask: Floats) -> None:
        self._first = self._histograms(lab, mask, sure=0.5)
        self._recent = self._first

    def follow(self, lab: Floats, mask: Floats) -> None:
        """Let the recent histograms move towards this frame's."""
        now = self._histograms(lab, mask, sure=0.7)
        self._recent = self._recent + np.float32(_RATE) * (now - self._recent)

    def ratio(self, lab: Floats) -> Floats:
        """log p(colour | object) / p(colour | background), H W, within ±3."""
        shares = np.float32(_FIRST) * self._first + np.float32(1 - _FIRST) * self._recent + np.float32(_FLOOR)
        table = np.log(shares[0] / shares[1]).clip(-_LIMIT, _LIMIT)
        return np.asarray(table[_cells(lab)], np.float32)

    def _histograms(self, lab: Floats, mask: Floats, *, sure: float) -> Floats:
        """2 bins³: object, background; each sums to 1."""
        inside = (mask > 0.5).astype(np.uint8)
        core = cv2.erode((mask > sure).astype(np.uint8), np.ones((3, 3), np.uint8)) + np.float32(0.01) * inside
        outside = (mask < 0.5).astype(np.float32)
        near = outside * _ring(inside)
        cells = _cells(lab)
        background = _NEAR * _histogram(cells, near) + (1 - _NEAR) * _histogram(cells, outside)
        return np.stack([_histogram(cells, core), background]).astype(np.float32)


def _cells(lab: Floats) -> tuple[NDArray[np.intp], ...]:
    scaled = (lab - _LOWEST) / _EXTENT
    indices = (scaled * (_BINS - 1) + 0.5).clip(0, _BINS - 1).astype(np.intp)
    return tuple(np.moveaxis(indices, 2, 0))


def _histogram(cells: tuple[NDArray[np.intp], ...], weights: Floats) -> Floats:
    from scipy.ndimage import gaussian_filter

    flat = np.ravel_multi_index(cells, (_BINS, _BINS, _BINS)).reshape(-1)
    counts = np.bincount(flat, weights.reshape(-1), _BINS**3).reshape(_BINS, _BINS, _BINS)
    smooth = gaussian_filter(counts, 1.0)
    return np.asarray(smooth / (smooth.sum() + 1e-9), np.float32)


def _ring(inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The object and what lies within half its size of it."""
    reach = int(np.clip(0.5 * np.sqrt(inside.sum()), 8, _LARGEST_RING))
    return np.asarray(cv2.dilate(inside, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)
