"""A multi-channel correlation filter with spatial and temporal regularisation.

STRCF (Li et al. 2018, "Learning Spatial-Temporal Regularized Correlation Filters for Visual Tracking", eq. 4-11): the
filter fits one Gaussian to the features of the newest frame, is kept within the target by a weight that grows outside
it, and near its former self by a passive-aggressive term. Four ADMM steps a frame (the paper: two), of which the part
that is zero outside the target is kept; the quadratic of every frequency is of rank one, so that it is solved by the
Sherman-Morrison formula.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

_MEMORY = 15.0  # mu of the paper
_STEPS = 4
_PENALTY = (1.0, 10.0, 1000.0)  # gamma: first value, growth, bound


class CorrelationFilter:
    """`fit(features)` and `response(features)`, both K h w, already windowed; the target is centred."""

    def __init__(self, shape: tuple[int, int], target: tuple[float, float], *, sharpness: float = 1 / 16) -> None:
        """`shape` h w of the feature maps, `target` h w of the target in cells."""
        rows, columns = shape
        spread = np.sqrt(target[0] * target[1]) * sharpness
        y, x = _from_middle(rows)[:, None], _from_middle(columns)[None]
        label = np.exp(-(y**2 + x**2) / (2 * spread**2)).astype(np.float32)
        self._label = fft.rfft2(np.fft.ifftshift(label)).astype(np.complex64)
        inside = (np.abs(y) <= target[0] / 2 + 0.5) & (np.abs(x) <= target[1] / 2 + 0.5)
        self._weight = np.fft.ifftshift(np.where(inside, 1e-3, 1e5)).astype(np.float32) ** 2
        self._shape = shape
        self._filter: Spectrum | None = None

    def response(self, features: Floats) -> Floats:
        """h w, about 1 where the target is; the middle of the map is no displacement."""
        assert self._filter is not None
        spectrum = fft.rfft2(features, axes=(1, 2))
        found = fft.irfft2((spectrum * self._filter).sum(axis=0), self._shape)
        return np.asarray(found, np.float32)

    def fit(self, features: Floats) -> None:
        """Learn the frame whose target is in the middle."""
        x = fft.rfft2(np.fft.ifftshift(features, axes=(1, 2)), axes=(1, 2)).astype(np.complex64)
        size, memory = float(np.prod(self._shape)), 0.0
        conjugate = np.conj(x)
        energy = np.einsum("kij,kij->ij", x, conjugate).real
        pull = conjugate * (self._label / np.float32(size))
        if self._filter is not None:
            memory = _MEMORY
            pull += np.float32(memory) * self._filter
        gamma, growth, bound = _PENALTY
        right, dual = pull.copy(), np.zeros_like(pull)
        for _ in range(_STEPS):  # in place where it can be: the arrays are what takes the time
            total = memory + gamma
            right -= conjugate * (np.einsum("kij,kij->ij", x, right) / (np.float32(size * total) + energy))
            right *= np.float32(gamma / total)  # gamma times the fitted filter
            right += dual
            spatial = fft.irfft2(right, self._shape, axes=(1, 2))
            inner = fft.rfft2(spatial / (self._weight + np.float32(gamma)), axes=(1, 2))
            dual = right - np.float32(gamma) * inner
            gamma = min(gamma * growth, bound)
            right = pull - dual + np.float32(gamma) * inner
        self._filter = inner


def _from_middle(size: int) -> NDArray[np.float64]:
    return np.asarray(np.arange(size) - size // 2, np.float64)
