"""Principal axes of many rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]


def principal_axes(centred: Rows, number: int, seed: int, floor: float = 0.0) -> Rows:
    """Whitened principal axes D k of centred rows n D by a randomised range finder with two power steps (Halko et al.
    2011, algorithm 4.4 and 5.1). `floor`, a share of the largest variance, is added to that of every axis, so that weak
    axes are not blown up wholly."""
    number = min(number, *centred.shape)
    sketch = centred @ np.random.default_rng(seed).standard_normal((centred.shape[1], number + 20), dtype=np.float32)
    for _ in range(2):
        sketch = centred @ (centred.T @ np.linalg.qr(sketch)[0])
    base = np.linalg.qr(sketch)[0]
    _, lengths, axes = np.linalg.svd(base.T @ centred, full_matrices=False)
    variance = lengths[:number] ** 2 / len(centred)
    deviation = np.maximum(np.sqrt(variance + floor * variance[0]), 1e-6)
    return np.asarray(axes[:number].T / deviation, np.float32)
