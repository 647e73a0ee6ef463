"""What light, lens and codec do to two looks at one object."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def change_light(template: Picture, search: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """One camera for both (grey in a tenth, mirrored in a half never apart), other light for each."""
    if rng.random() < 0.1:
        template, search = _grey(template), _grey(search)
    common = np.exp(rng.normal(0, 0.15, 3))
    both = []
    for picture in (template, search):
        gain = common * np.exp(rng.normal(0, 0.05, 3)) * np.exp(rng.normal(0, 0.15))
        gamma = np.exp(rng.normal(0, 0.15))
        steps = np.arange(256) / 255.0
        table = np.clip((steps**gamma)[:, None] * gain + rng.normal(0, 0.04), 0, 1) * 255  # 256 3
        both.append(np.asarray(cv2.LUT(picture, table.astype(np.uint8).reshape(1, 256, 3)), np.uint8))
    return both[0], both[1]


def degrade(picture: Picture, rng: np.random.Generator, *, gentle: bool = False) -> Picture:
    """Blur, motion, coarse pixels, noise, JPEG: each at times."""
    rate = 0.5 if gentle else 1.0
    if rng.random() < 0.25 * rate:
        picture = _coarse(picture, rng)
    if rng.random() < 0.2 * rate:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.8)), np.uint8)
    if rng.random() < 0.2 * rate:
        picture = _moved(picture, rng)
    if rng.random() < 0.3 * rate:
        noise = rng.normal(0, rng.uniform(1, 8), picture.shape[:2]).astype(np.float32)[..., None]
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3 * rate:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))])
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return picture


def _grey(picture: Picture) -> Picture:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _coarse(picture: Picture, rng: np.random.Generator) -> Picture:
    """As of an object that is small in the frame."""
    height, width = picture.shape[:2]
    factor = rng.uniform(0.25, 0.8)
    small = cv2.resize(picture, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _moved(picture: Picture, rng: np.random.Generator) -> Picture:
    """Blurred along a line, as by the motion of camera or object."""
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = (length - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    middle = (length - 1) / 2
    ends = [tuple(int(v) for v in np.round(middle + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8)
