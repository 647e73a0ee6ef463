"""What light, lens, sensor and codec do to a photograph, at random, and textures that no photograph shows.

Arrays are H W 3 uint8; every function draws from the generator that it is given.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def recolour(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Gamma, contrast and colour balance; a grey picture is tinted like skin in half of the draws."""
    ramp = np.arange(256, dtype=np.float32) / 255
    grey = bool((pixels[..., 0] == pixels[..., 1]).all())
    cast = rng.normal(0, 0.06, 3)
    if grey and rng.random() < 0.5:
        cast = np.array([rng.uniform(-0.55, -0.15), rng.uniform(-0.1, 0.1), rng.uniform(0.1, 0.5)])
    gamma = np.exp(rng.normal(0, 0.22) + cast)
    gain, offset = math.exp(rng.normal(0, 0.15)), rng.normal(0, 0.05)
    tables = ((ramp[:, None] ** gamma * gain + offset).clip(0, 1) * 255).round().astype(np.uint8)  # 256 3
    out = np.stack([cv2.LUT(pixels[..., number], tables[:, number]) for number in range(3)], axis=2)
    return np.ascontiguousarray(out)


def disturb(pixels: Pixels, rng: np.random.Generator, smallest: float) -> Pixels:
    """Shade, blur, coarse sampling, noise, JPEG and grey; `smallest`: pixels of the smallest thing to stay visible."""
    if rng.random() < 0.2:
        pixels = _shade(pixels, rng)
    if rng.random() < 0.3:
        sigma = rng.uniform(0.4, max(0.5, min(2.5, smallest / 14)))
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)
    if rng.random() < 0.15 and smallest > 20:
        pixels = _coarse(pixels, rng.uniform(1.3, min(4.0, smallest / 12)))
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 16), pixels.shape)
        pixels = (pixels + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.45:
        pixels = compressed(pixels, int(rng.integers(25, 96)))
    return pixels


def compressed(pixels: Pixels, quality: int) -> Pixels:
    """Through JPEG and back."""
    _, code = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)


def texture(size: int, rng: np.random.Generator) -> Pixels:
    """Clouds of several octaves, stripes or one colour, `size` `size` 3."""
    kind = rng.random()
    colours = rng.uniform(0, 255, (2, 3))
    if kind < 0.25:
        level = np.zeros((size, size), np.float32)
    elif kind < 0.45:
        y, x = np.mgrid[:size, :size]
        angle, period = rng.uniform(0, math.pi), rng.uniform(3, 40)
        level = 0.5 + 0.5 * np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
    else:
        level = _clouds(size, rng)
    mixed = colours[0] + level[..., None] * (colours[1] - colours[0])
    return np.asarray(mixed.clip(0, 255), np.uint8)


def _clouds(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    total = np.zeros((size, size), np.float32)
    for octave in range(1, 6):
        grid = rng.random((2**octave, 2**octave)).astype(np.float32)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) / octave ** rng.uniform(0.3, 2)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _shade(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Light from one side."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * math.pi)
    edge = (x * math.cos(angle) + y * math.sin(angle)) * rng.uniform(0.5, 4) + rng.uniform(-1, 1)
    dark = 1 - rng.uniform(0.2, 0.75) / (1 + np.exp(-edge))
    return np.asarray((pixels * dark[..., None]).clip(0, 255), np.uint8)


def _coarse(pixels: Pixels, factor: float) -> Pixels:
    height, width = pixels.shape[:2]
    small = cv2.resize(
        pixels, (max(2, round(width / factor)), max(2, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
