"""The guided filter: smooths a map without crossing the edges of the picture (He, Sun, Tang 2013, IEEE TPAMI 35(6))."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def guided_filter(
    guide: NDArray[np.float32], values: NDArray[np.float32], *, radius: int, softness: float
) -> NDArray[np.float32]:
    """Eq. 14, 16, 19 (colour guide): `guide` H W 3 in 0..1, `values` H W -> H W; `softness` is the paper's epsilon."""

    def mean(part: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(part, (2 * radius + 1, 2 * radius + 1)))

    colours = mean(guide)  # H W 3
    level = mean(values)  # H W
    covariance = mean(guide * values[..., None]) - colours * level[..., None]  # H W 3
    products = np.stack([mean(guide * guide[..., part, None]) for part in range(3)], axis=-1)  # H W 3 3
    spread = products - colours[..., :, None] * colours[..., None, :]
    gain = np.linalg.solve(spread + softness * np.eye(3, dtype=np.float32), covariance[..., None])[..., 0]  # H W 3
    offset = level - (gain * colours).sum(axis=-1)
    return np.asarray((mean(gain.astype(np.float32)) * guide).sum(axis=-1) + mean(offset), np.float32)
