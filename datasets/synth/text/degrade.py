"""What printing, paper, scanner, camera and compression do to ink: H W 0..255 ink -> H W grey picture.

After Baird 1992 (document image defect models: blur, threshold, sensitivity, jitter) and Kanungo et al. 1993 (noise
that grows at the edges of letters). `scan`: bilevel or grey flat-bed scans of print; `thermal`: receipts, faint, with
streaks and JPEG; `screen`: clean renders, anti-aliased, in any two greys. Sizes are pixels of the picture.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]  # single precision wherever it matters
Style = Literal["scan", "thermal", "screen"]
STYLES: tuple[Style, ...] = ("scan", "thermal", "screen")


def degrade(ink: NDArray[np.uint8], style: Style, rng: Generator, strength: float = 1.0) -> Grey:
    """The picture of `ink` in one style. `strength` 0 to 1 scales every defect; 0 gives black ink on white paper."""
    cover = ink.astype(np.float32) / 255
    if strength <= 0:
        return _to_grey(1 - cover)
    if style == "scan":
        return _scan(cover, rng, strength)
    return _thermal(cover, rng, strength) if style == "thermal" else _screen(cover, rng, strength)


def _scan(cover: Floats, rng: Generator, strength: float) -> Grey:
    """Blur of the optics, ink spread or wear, noise before the threshold of a fax or a scanner, specks after it."""
    cover = _blurred(cover, rng.uniform(0.3, 0.4 + 0.8 * strength) * max(0.6, cover.shape[0] / 44))
    cover = cover + _fine_noise(cover.shape, rng, rng.uniform(0.0, 0.24) * strength)
    if rng.random() < 0.4:
        cover = cover + _smooth_noise(cover.shape, rng, 0.15 * strength, cells=6)  # uneven pressure along the line
    if rng.random() < 0.08 * strength:
        cover = cover + _gutter(cover.shape, rng)
    if rng.random() < 0.30:  # a grey scan
        soft = np.clip((cover - 0.5) * rng.uniform(1.0, 2.5) + 0.5 + rng.uniform(-0.15, 0.2), 0, 1)
        return _compressed(_to_grey(rng.uniform(0.75, 1.0) * (1 - soft * rng.uniform(0.6, 1.0))), rng, 0.4)
    level = 0.5 + rng.uniform(-0.24, 0.22) * strength  # low: letters bleed and touch; high: hair lines break
    black = cover > level
    if rng.random() < 0.35 * strength:
        black = _specks(black, rng)
    return _to_grey(1 - black.astype(np.float32))


def _thermal(cover: Floats, rng: Generator, strength: float) -> Grey:
    """Worn print heads leave streaks, the ink fades, phone cameras and cheap scanners blur and compress."""
    if rng.random() < 0.35:
        cover = cover * _streaks(cover.shape, rng, strength)
    if rng.random() < 0.35:
        cover = cover * (1 - np.clip(_fine_noise(cover.shape, rng, rng.uniform(0.1, 0.45) * strength), 0, 1))
    if rng.random() < 0.3:
        cover = cover * (1 - 0.7 * strength * np.abs(_smooth_noise(cover.shape, rng, 1.0, cells=4)).clip(0, 1))
    cover = _blurred(cover, rng.uniform(0.2, 0.3 + 0.9 * strength) * max(0.45, cover.shape[0] / 36))
    if rng.random() < 0.4:  # heavy or thin print
        cover = np.clip((cover - 0.5) * rng.uniform(1.0, 2.2) + 0.5 + rng.uniform(-0.2, 0.25), 0, 1)
    paper = rng.uniform(0.72, 1.0)
    contrast = paper * (rng.uniform(0.22, 0.55) if rng.random() < 0.4 * strength else rng.uniform(0.5, 1.0))
    picture = paper - contrast * cover + _smooth_noise(cover.shape, rng, 0.06 * strength, cells=3)
    picture = picture + _fine_noise(cover.shape, rng, rng.uniform(0.0, 0.07) * strength)
    if rng.random() < 0.25:  # levels pulled apart until the paper is white
        picture = (picture - paper) * rng.uniform(1.1, 1.8) + 1.02
    if rng.random() < 0.08 * strength:
        picture = 1 - picture
    return _compressed(_to_grey(picture), rng, 0.75)


def _screen(cover: Floats, rng: Generator, strength: float) -> Grey:
    """Two greys, at times little apart, at times light on dark; a soft zoom, weak compression."""
    if rng.random() < 0.5:
        cover = _blurred(cover, rng.uniform(0.2, 0.7) * strength)
    light, dark = rng.uniform(0.7, 1.0), rng.uniform(0.0, 0.45)
    if rng.random() < 0.2 * strength:
        light, dark = dark, light
    return _compressed(_to_grey(light + (dark - light) * cover), rng, 0.4)


def _gutter(shape: tuple[int, ...], rng: Generator) -> Floats:
    """The shadow of the binding at one end of the line: darker and speckled towards the edge."""
    height, width = shape
    away = np.arange(width, dtype=np.float32) / (height * rng.uniform(0.7, 3.0))
    shade = np.clip(1 - (away if rng.random() < 0.6 else away[::-1]), 0, 1)
    return np.asarray(shade * (rng.uniform(0.0, 0.35) + _fine_noise(shape, rng, rng.uniform(0.1, 0.35))), np.float32)


def _specks(black: NDArray[np.bool_], rng: Generator) -> NDArray[np.bool_]:
    """Salt in letters, pepper and small blobs on paper."""
    black = black ^ (rng.random(black.shape, np.float32) < 10.0 ** rng.uniform(-3.5, -1.8))
    for _ in range(int(rng.integers(0, 5))):
        y, x = int(rng.integers(0, black.shape[0])), int(rng.integers(0, black.shape[1]))
        high, wide = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        black[y : y + high, x : x + wide] = rng.random() < 0.75
    return black


def _streaks(shape: tuple[int, ...], rng: Generator, strength: float) -> Floats:
    """Factors 0..1: rows or columns of dots that the print head left out or printed weakly."""
    axis = int(rng.integers(0, 2))
    factors = np.ones(shape[axis], np.float32)
    for _ in range(int(rng.integers(1, 4 if axis == 0 else 9))):
        place, wide = int(rng.integers(0, shape[axis])), int(rng.integers(1, 3))
        factors[place : place + wide] = 1 - strength * rng.uniform(0.3, 1.0)
    return factors[:, None] if axis == 0 else factors[None, :]


def _blurred(cover: Floats, sigma: float) -> Floats:
    if sigma < 0.15:
        return cover
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), sigma), np.float32)


def _fine_noise(shape: tuple[int, ...], rng: Generator, sigma: float) -> Floats:
    """Normal noise, half of it the same in neighbouring pixels."""
    noise = rng.standard_normal(shape, np.float32)
    return np.asarray(sigma * (0.6 * noise + 1.6 * cv2.GaussianBlur(noise, (0, 0), 0.9)), np.float32)


def _smooth_noise(shape: tuple[int, ...], rng: Generator, sigma: float, cells: int) -> Floats:
    """Noise that changes over about the height of a line; `cells` along the line for each height."""
    height, width = shape
    coarse = rng.standard_normal((3, max(2, round(width / height * cells / 3))), np.float32)
    return np.asarray(sigma * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _compressed(grey: Grey, rng: Generator, chance: float) -> Grey:
    """JPEG of quality 20 to 90, with a chance of `chance`."""
    if rng.random() >= chance:
        return grey
    _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 91))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def _to_grey(picture: Floats) -> Grey:
    """0..1 to 0..255, clipped."""
    return np.asarray(np.clip(picture * 255 + 0.5, 0, 255), np.uint8)
