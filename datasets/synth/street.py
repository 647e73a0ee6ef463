"""Drawn streets, yards and halls, and the upright things in them that are no people."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.photo_faults import texture

Pixels = NDArray[np.uint8]
Owner = NDArray[np.int16]
_GROUND = (
    (110, 110, 112),
    (150, 146, 140),
    (86, 88, 90),
    (96, 112, 70),
    (176, 168, 150),
    (70, 62, 56),
    (130, 120, 104),
)
_LENGTHS = (14.0, 190.0)  # pixels of a thing


def draw_street(size: int, rng: np.random.Generator) -> Pixels:
    """`size` `size` 3: ground with grain, borders and lines under a wall with windows, a hedge or the sky."""
    pixels = _toned(_colour(rng), size, rng)
    edge = int(rng.uniform(-0.3, 0.6) * size)
    if edge > 4:
        far = _toned(rng.uniform(30, 235) + rng.normal(0, 14, 3), size, rng)
        pixels[:edge] = far[:edge]
        if rng.random() < 0.6:
            _windows(pixels, edge, rng)
    for _ in range(int(rng.integers(0, 5))):  # kerbs, road marks, joints, cables
        ends = rng.uniform(-0.2, 1.2, 4) * size
        start, end = (int(ends[0]), int(ends[1])), (int(ends[2]), int(ends[3]))
        cv2.line(pixels, start, end, rng.uniform(10, 250, 3).tolist(), int(rng.integers(1, 7)), cv2.LINE_AA)
    if rng.random() < 0.5:  # another ground: grass beside the road, a pavement
        corners = (rng.uniform(-0.3, 1.3, (4, 2)) * size).astype(np.int32)
        mask = np.zeros((size, size), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners), 1)
        mask[: max(0, edge)] = 0
        pixels = np.where(mask[..., None] > 0, _toned(_colour(rng), size, rng), pixels)
    return np.ascontiguousarray(pixels)


def draw_thing(pixels: Pixels, rng: np.random.Generator, piece: Pixels, owner: Owner | None = None) -> None:
    """Draw a post, sign, tree, car, animal, bin, or a blob of `piece` at a random place, in place; where it covers
    somebody, `owner` (H W) becomes -1."""
    size = pixels.shape[0]
    tall = math.exp(rng.uniform(*np.log(_LENGTHS)))
    x, foot = rng.uniform(0, size), rng.uniform(0.1, 1.2) * size
    mask = np.zeros(pixels.shape[:2], np.uint8)
    kind = int(rng.integers(len(_KINDS)))
    _KINDS[kind](mask, x, foot, tall, rng)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shape = (columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0])
    share = mask[part].astype(np.float32)[..., None] / 255
    cover = cv2.resize(piece, shape, interpolation=cv2.INTER_AREA).astype(np.float32)
    flat = rng.uniform(0.0, 1.0)
    across = np.linspace(-1, 1, shape[0], dtype=np.float32)[None, :, None] * rng.uniform(-0.4, 0.4)
    cover = (cover * (1 - flat) + flat * _colour(rng)) * (1 + across)
    pixels[part] = (pixels[part] + share * (cover - pixels[part])).clip(0, 255).astype(np.uint8)
    if owner is not None:
        owner[part][mask[part] > 127] = -1


def _post(mask: Pixels, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    wide = max(1, round(tall * rng.uniform(0.03, 0.22)))
    _box(mask, x, foot, wide, tall)
    if rng.random() < 0.5:  # a lamp or a sign at its top
        _box(mask, x, foot - tall * 0.75, wide * rng.uniform(1.5, 5), tall * rng.uniform(0.08, 0.35))


def _bin(mask: Pixels, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    _box(mask, x, foot, tall * rng.uniform(0.25, 0.9), tall)


def _blob(mask: Pixels, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    _ellipse(mask, x, foot - tall / 2, tall * rng.uniform(0.15, 0.6), tall / 2, rng.normal(0, 10))


def _tree(mask: Pixels, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    _box(mask, x, foot, tall * rng.uniform(0.03, 0.1), tall * 0.7)
    for _ in range(int(rng.integers(2, 9))):
        radius = tall * rng.uniform(0.08, 0.25)
        _ellipse(mask, x + rng.normal(0, 0.2) * tall, foot - tall * rng.uniform(0.5, 1), radius, radius, 0)


def _car(mask: Pixels, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    high = 0.4 * tall
    _box(mask, x, foot - 0.15 * high, tall, 0.5 * high)
    _box(mask, x + rng.normal(0, 0.05) * tall, foot - 0.6 * high, 0.6 * tall, 0.4 * high)
    for side in (-0.3, 0.3):
        _ellipse(mask, x + side * tall, foot - 0.15 * high, 0.17 * high, 0.17 * high, 0)


def _animal(mask: Pixels, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    """A body that lies, on four legs, with a head."""
    high, side = 0.35 * tall, float(rng.choice([-1, 1]))
    _ellipse(mask, x, foot - 0.75 * high, 0.35 * tall, 0.28 * high, 0)
    _ellipse(mask, x + side * 0.38 * tall, foot - 0.95 * high, 0.12 * tall, 0.18 * high, side * 20)
    for leg in (-0.28, -0.2, 0.2, 0.28):
        _box(mask, x + leg * tall, foot, 0.05 * tall, 0.6 * high)


def _legs(mask: Pixels, x: float, foot: float, tall: float, rng: np.random.Generator) -> None:
    """Two limbs without a body: a trestle, a ladder, a coat on a hook."""
    spread = rng.uniform(0.03, 0.2) * tall
    wide = max(1, round(tall * rng.uniform(0.05, 0.12)))
    for side in (-1, 1):
        start, end = (int(x), int(foot - tall * 0.6)), (int(x + side * spread), int(foot))
        cv2.line(mask, start, end, 255, wide, cv2.LINE_AA)


_KINDS = (_post, _post, _bin, _blob, _tree, _car, _animal, _legs)


def _box(mask: Pixels, x: float, foot: float, wide: float, tall: float) -> None:
    cv2.rectangle(mask, (int(x - wide / 2), int(foot - tall)), (int(x + wide / 2), int(foot)), 255, -1)


def _ellipse(mask: Pixels, x: float, y: float, wide: float, high: float, angle: float) -> None:
    cv2.ellipse(mask, (int(x), int(y)), (max(1, int(wide)), max(1, int(high))), angle, 0, 360, 255, -1, cv2.LINE_AA)


def _windows(pixels: Pixels, edge: int, rng: np.random.Generator) -> None:
    """Rows of windows and doors in the wall above line `edge`."""
    wide, high = rng.uniform(8, 40), rng.uniform(12, 60)
    gap, colour = rng.uniform(1.3, 2.5), rng.uniform(10, 220, 3).tolist()
    for top in np.arange(edge - high * rng.uniform(0.9, 1.6), -high, -high * gap):
        for left in np.arange(rng.uniform(-wide, 0), pixels.shape[1], wide * gap):
            corner, end = (int(left), max(0, int(top))), (int(left + wide), min(edge, int(top + high)))
            cv2.rectangle(pixels, corner, end, colour, -1)
            cv2.rectangle(pixels, corner, end, rng.uniform(40, 230, 3).tolist(), 1)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    base = np.array(_GROUND[int(rng.integers(len(_GROUND)))])
    return np.asarray(base * math.exp(rng.normal(0, 0.3)) + rng.normal(0, 6, 3))


def _toned(colour: NDArray[np.float64], size: int, rng: np.random.Generator) -> Pixels:
    """A surface of one colour with clouds of light and grain."""
    clouds = texture(size, rng)[..., :1].astype(np.float32)
    grain = rng.standard_normal((size, size, 1), np.float32) * rng.uniform(1, 14)
    level = 1 + (clouds - clouds.mean()) / 255 * rng.uniform(0.05, 0.5)
    return np.asarray((colour * level + grain).clip(0, 255), np.uint8)
