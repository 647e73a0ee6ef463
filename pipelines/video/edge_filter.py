"""The guided filter (He et al. 2013, IEEE TPAMI 35(6), eq. 19-21): smooths a map, but not across edges of a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


class GuidedFilter:
    """Made once for a picture `guide` H W 3, then called on any map H W.

    `radius` of the window in pixels; `softness` in squared units of the guide: what varies less is smoothed over.
    """

    def __init__(self, guide: Floats, radius: int, softness: float) -> None:
        self._size = 2 * radius + 1, 2 * radius + 1
        self._guide = [np.ascontiguousarray(guide[..., channel]) for channel in range(3)]
        self._means = [self._mean(channel) for channel in self._guide]
        pairs = [(i, j) for i in range(3) for j in range(i, 3)]
        covariance = [
            self._mean(self._guide[i] * self._guide[j])
            - self._means[i] * self._means[j]
            + np.float32(softness * (i == j))
            for i, j in pairs
        ]
        self._inverse = _inverse(*covariance)

    def __call__(self, values: Floats) -> Floats:
        """The best local linear function of the guide, H W -> H W."""
        mean = self._mean(values)
        shared = [self._mean(g * values) - m * mean for g, m in zip(self._guide, self._means, strict=True)]
        slopes = [sum(a * c for a, c in zip(row, shared, strict=True)) for row in self._inverse]
        offset = mean - sum(s * m for s, m in zip(slopes, self._means, strict=True))
        smooth = self._mean(offset)
        for slope, channel in zip(slopes, self._guide, strict=True):
            smooth = smooth + self._mean(np.asarray(slope, np.float32)) * channel
        return np.asarray(smooth, np.float32)

    def _mean(self, values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, self._size), np.float32)


def _inverse(a: Floats, b: Floats, c: Floats, d: Floats, e: Floats, f: Floats) -> list[list[Floats]]:
    """The inverse of the symmetric matrix (a b c, b d e, c e f) of every pixel, by its adjugate."""
    aa, ab, ac = d * f - e * e, c * e - b * f, b * e - c * d
    bb, bc, cc = a * f - c * c, b * c - a * e, a * d - b * b
    one = 1 / (a * aa + b * ab + c * ac)
    return [[aa * one, ab * one, ac * one], [ab * one, bb * one, bc * one], [ac * one, bc * one, cc * one]]
