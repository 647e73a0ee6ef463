"""How the answers of overlapping windows become one: weights per axis and the running weighted mean."""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Blend = Literal["gaussian", "constant", "core"]
SIGMA = 0.125  # of the window, as in nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z)
FLOOR = 1e-3  # elements seen by one window's corner only still need a weight
CHUNK = 1 << 16  # elements that are blended at once: three float32 arrays of it stay in a core's cache


@functools.cache
def axis_weights(size: int, blend: Blend) -> NDArray[np.float32]:
    """Positive weights along one axis, symmetric, the largest at the middle (1 for `constant` and `core`)."""
    weights = np.ones(size, np.float32)
    if blend == "gaussian":
        offset = (np.arange(size) - (size - 1) / 2) / (SIGMA * size)
        weights = np.maximum(np.exp(-0.5 * offset**2), FLOOR).astype(np.float32)
    weights.setflags(write=False)  # it is shared by all callers
    return weights


def outer(weights: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Product of the weights of every axis, one axis each; a fresh array."""
    product = np.ones((), np.float32)
    for axis in weights:
        product = product[..., None] * axis
    return product


def blend_into(mean: NDArray[Any], block: NDArray[Any], share: NDArray[np.float32]) -> None:
    """mean -= (mean - block) * share, in place, for K *cell arrays; `share` is weight / (sum of weights so far).

    This running form of the weighted mean returns a value on which all windows agree bit for bit (signed zeros and
    infinities too), whatever the weights: the difference is exactly zero. A sum divided by a sum of weights rounds.
    """
    rows = max(1, CHUNK // math.prod(mean.shape[2:]))
    classes = max(1, CHUNK // math.prod(mean.shape[1:]))
    with np.errstate(invalid="raise"):
        for k in range(0, len(mean), classes):
            for row in range(0, mean.shape[1], rows):
                here = (slice(k, k + classes), slice(row, row + rows))
                _pull(mean[here], block[here], share[row : row + rows])


def _pull(mean: NDArray[Any], block: NDArray[Any], share: NDArray[np.float32]) -> None:
    gap = np.empty_like(mean)
    try:
        np.subtract(mean, block, out=gap)
    except FloatingPointError:  # inf - inf, where both agree
        gap[mean == block] = 0
    with np.errstate(invalid="ignore"):
        gap *= share
        mean -= gap


def class_index(scores: NDArray[Any]) -> NDArray[Any]:
    """K *cell -> *cell: the first class with the highest score, in the smallest unsigned type that holds K - 1.

    Equal to `argmax(0)` without its transposed copy; NaN never wins over a number that stands before it.
    """
    best = scores[0].copy()
    index = np.zeros(best.shape, np.min_scalar_type(max(len(scores) - 1, 0)))
    for k in range(1, len(scores)):
        higher = scores[k] > best
        np.copyto(best, scores[k], where=higher)
        np.putmask(index, higher, k)
    return index
