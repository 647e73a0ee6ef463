"""Pictures with the statistics of photographs: smooth shapes, texture at every scale, compressed as JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def photograph(seed: int, height: int = 256, width: int = 320, quality: int = 80) -> NDArray[np.uint8]:
    """RGB H W 3: noise of a falling spectrum with discs laid over it, after JPEG (0: none)."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for size in (4, 8, 16, 32, 64, 128):
        coarse = rng.standard_normal((size, size, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * 60 / size**0.7
    for _ in range(12):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(picture, centre, int(rng.integers(6, 30)), rng.uniform(-60, 60, 3).tolist(), -1)
    pixels = (picture + 128).clip(0, 255).astype(np.uint8)
    if not quality:
        return pixels
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def write_png(path: object, pixels: NDArray[np.uint8]) -> None:
    """RGB H W 3 (or H W) as PNG."""
    cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
