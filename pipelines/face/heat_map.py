"""Maps as pictures: a mask, a grey map, and colours laid over the picture. One colour bar for every command."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

LONGEST = 1600  # side of a preview in pixels
_BAR = cv2.COLORMAP_INFERNO


def overlay(pixels: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """RGB H W 3 with a map h w (0..1) in colours over it, at most LONGEST pixels a side: grey where nothing is."""
    scale = min(1.0, LONGEST / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    heat = enlarged(values, size[1], size[0])
    colours = cv2.applyColorMap((heat * 255).round().astype(np.uint8), _BAR)[..., ::-1]  # H W 3 RGB
    grey = np.repeat(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    weight = heat[..., None] ** 0.5 * 0.7
    return np.asarray((grey * (1 - weight) + colours * weight).round().clip(0, 255), np.uint8)


def enlarged(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A map h w in 0..1 at H W."""
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1), np.float32)


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """H W or H W 3 uint8 as PNG; the caller gives the temporary path of an atomic write."""
    from PIL import Image

    Image.fromarray(pixels).save(path, format="PNG")
