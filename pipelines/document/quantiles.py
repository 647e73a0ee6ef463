"""Medians and percentiles exactly as numpy gives them, for short rows and for shades: a page asks for thousands.

`np.median` and `np.percentile` take 40 to 80 microseconds whatever the size of their input, since they serve any axis
and any kind of number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def median_of(values: NDArray[Any]) -> float:
    """The median of n numbers, n > 0."""
    ordered = np.sort(values)
    middle = len(ordered) // 2
    return float(ordered[middle]) if len(ordered) % 2 else float((ordered[middle - 1] + ordered[middle]) / 2)


def percentile_of(values: NDArray[Any], share: float) -> float:
    """The percentile `share` 0..100 of n numbers, n > 0, linear between neighbours."""
    ordered = np.sort(values)
    place = share / 100 * (len(ordered) - 1)
    first = int(place)
    return _between(float(ordered[first]), float(ordered[min(first + 1, len(ordered) - 1)]), place - first)


def shades_at(grey: NDArray[np.uint8], shares: Sequence[float]) -> list[float]:
    """The percentiles `shares` 0..100 of a grey picture H W, by its histogram."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    below = np.cumsum(counts, dtype=np.float64)  # pixels up to each shade
    found = []
    for share in shares:
        place = share / 100 * (grey.size - 1)
        first = int(place)
        low, high = np.searchsorted(below, (first, min(first + 1, grey.size - 1)), side="right").tolist()
        found.append(_between(float(low), float(high), place - first))
    return found


def _between(low: float, high: float, share: float) -> float:
    """As numpy: from the nearer end, so that both ends are exact."""
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)
