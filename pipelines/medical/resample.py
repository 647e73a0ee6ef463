"""Resampling along the axes of a grid by one small matrix each: linear, with an anti-aliasing Gaussian when coarser.

Grids share their centre: output voxel o lies at input index (o - (n_out - 1) / 2) * step + (n_in - 1) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))  # of a Gaussian in standard deviations


def output_size(n_in: int, step: float) -> int:
    """Voxels of the new grid that cover `n_in` old ones; `step` is the new spacing in old voxels."""
    return max(1, math.ceil(n_in / step - 1e-3))


def positions(n_in: int, n_out: int, step: float) -> NDArray[np.float64]:
    """Input index (fractional) of every output voxel centre, N."""
    where: NDArray[np.float64] = (np.arange(n_out, dtype=np.float64) - (n_out - 1) / 2) * step + (n_in - 1) / 2
    return where


def linear_matrix(where: NDArray[np.float64], n_in: int) -> Matrix:
    """Weights n_out x n_in of linear interpolation at the indices `where`; beyond the ends the end value repeats."""
    place = np.clip(where, 0, n_in - 1)
    low = np.minimum(np.floor(place).astype(int), max(n_in - 2, 0))
    high = np.minimum(low + 1, n_in - 1)
    share = place - low
    matrix = np.zeros((len(where), n_in), np.float64)
    rows = np.arange(len(where))
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, high), share)
    return matrix.astype(np.float32)


def blur_matrix(n: int, sigma: float) -> NDArray[np.float64]:
    """Gaussian smoothing n x n, `sigma` in voxels, rows normalised so that the ends do not darken."""
    distance = np.subtract.outer(np.arange(n), np.arange(n))
    weights: NDArray[np.float64] = np.exp(-0.5 * (distance / sigma) ** 2)
    weights /= weights.sum(1, keepdims=True)
    return weights


def downsample_matrix(n_in: int, step: float) -> Matrix:
    """Input -> network grid along one axis. If coarser, the Gaussian widens the profile of a voxel to FWHM `step`."""
    matrix = linear_matrix(positions(n_in, output_size(n_in, step), step), n_in)
    if step <= 1.01:
        return matrix
    sigma = math.sqrt(step**2 - 1) / FWHM
    return (matrix @ blur_matrix(n_in, sigma)).astype(np.float32)


def upsample_matrix(n_in: int, step: float) -> Matrix:
    """Network grid -> input along the same axis: rows are input voxels, columns network voxels."""
    n_out = output_size(n_in, step)
    return linear_matrix(positions(n_out, n_in, 1 / step), n_out)


def resample(x: NDArray[np.float32], matrices: Sequence[Matrix]) -> NDArray[np.float32]:
    """Apply one matrix to each axis of X Y Z, the one that shrinks most first."""
    for axis in sorted(range(3), key=lambda i: matrices[i].shape[0] / matrices[i].shape[1]):
        matrix = matrices[axis]
        if matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix), dtype=np.float32)):
            continue
        x = np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(x)
