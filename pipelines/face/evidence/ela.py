"""Error level analysis: what a JPEG compression of known quality still changes (Krawetz 2007, "A picture's worth").

A part that has been compressed fewer times than the rest, or on another block grid, changes more.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY = 90
WINDOW = 17  # pixels, side of the mean


def error_level(pixels: NDArray[np.uint8], quality: int = QUALITY, window: int = WINDOW) -> NDArray[np.float32]:
    """Mean absolute change in grey levels, H W float32, of RGB H W 3 uint8 compressed again at `quality`."""
    change = np.abs(compressed(pixels, quality).astype(np.float32) - pixels).mean(axis=2)  # H W 3 -> H W
    return np.asarray(cv2.blur(change, (window, window)), np.float32)


def compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """RGB H W 3 uint8 after JPEG at `quality` (libjpeg's scale, chroma at half resolution)."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
