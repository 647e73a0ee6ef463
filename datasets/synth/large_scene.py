"""Frames of 4K and 8K in which few or many small things move: cut-outs that drift over soft coloured noise.

A fixed camera: the ground stays, the sensor adds two grey levels of noise, so only what moves changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]
_NOISE = 2.0  # grey levels
_TRIES = 100  # places looked for, an object
_SCALES = ((6, 0.2), (24, 0.4), (90, 0.7))  # pixels a cell of noise, and its weight


@dataclass(frozen=True, kw_only=True, slots=True)
class Moving:
    """A cut-out at its size in the scene: `pixels` h w 3, `alpha` h w in 0..1, `box` x y w h of the object in it,
    `start` and `speed` (y x, pixels and pixels a frame) of its top left corner."""

    pixels: Picture
    alpha: NDArray[np.float32]
    box: Box
    start: tuple[float, float]
    speed: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class LargeScene:
    """`frame(number)` of a scene of `size` H W with `number` objects whose longer sides are drawn from `sides` pixels.

    `cutouts`: pictures and the box x y w h of the object in each. They never overlap at the start."""

    cutouts: Sequence[tuple[Picture, Box]]
    number: int
    size: tuple[int, int] = (2160, 3840)
    sides: tuple[float, float] = (36.0, 80.0)
    speed: float = 4.0
    seed: int = 0
    ground: Picture = field(init=False)
    objects: tuple[Moving, ...] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        object.__setattr__(self, "ground", soft_noise(rng, self.size))
        object.__setattr__(self, "objects", tuple(self._place(rng)))

    def frame(self, number: int) -> tuple[Picture, NDArray[np.float64]]:
        """(pixels H W 3, boxes n 4 as x0 y0 x1 y1) of frame `number` from 0."""
        pixels = self.ground.astype(np.int16)
        boxes = []
        for item in self.objects:
            height, width = item.alpha.shape
            y, x = (
                _bounced(start + speed * number, room - side)
                for start, speed, room, side in zip(item.start, item.speed, self.size, (height, width), strict=True)
            )
            part, alpha = pixels[y : y + height, x : x + width], item.alpha[..., None]
            part += (alpha * (item.pixels.astype(np.float32) - part)).astype(np.int16)
            left, top, w, h = item.box
            boxes.append((x + left, y + top, x + left + w, y + top + h))
        rng = np.random.default_rng(self.seed + 1 + number)
        pixels += (_NOISE * rng.standard_normal(self.size, np.float32)[..., None]).astype(np.int16)
        return np.clip(pixels, 0, 255).astype(np.uint8), np.array(boxes, np.float64).reshape(-1, 4)

    def _place(self, rng: np.random.Generator) -> Iterator[Moving]:
        """Objects one after the other, each where none is yet; fewer than `number` where there is no room left."""
        taken = np.zeros((0, 4))  # y0 x0 y1 x1
        for _ in range(_TRIES * self.number):
            item = self._drawn(rng)
            low = np.array(item.start)
            high = low + item.alpha.shape
            if (np.maximum(taken[:, :2], low) < np.minimum(taken[:, 2:], high)).all(axis=1).any():
                continue
            yield item
            taken = np.concatenate([taken, [[*low, *high]]])
            if len(taken) == self.number:
                return

    def _drawn(self, rng: np.random.Generator) -> Moving:
        """A cut-out at a size, a place and a speed."""
        pixels, box = self.cutouts[int(rng.integers(len(self.cutouts)))]
        scale = np.exp(rng.uniform(*np.log(self.sides))) / max(box[2:])
        height, width = (max(2, round(side * scale)) for side in pixels.shape[:2])
        left, top, w, h = (round(value * scale) for value in box)
        angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, self.speed)
        return Moving(
            pixels=np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8),
            alpha=_soft_ellipse(height, width), box=(left, top, w, h),
            start=(rng.uniform(0, self.size[0] - height), rng.uniform(0, self.size[1] - width)),
            speed=(speed * np.sin(angle), speed * np.cos(angle)),
        )  # fmt: skip


def soft_noise(rng: np.random.Generator, size: tuple[int, int]) -> Picture:
    """H W 3: coloured noise of several scales around mid grey."""
    total = np.zeros((*size, 3), np.float32)
    for cell, weight in _SCALES:
        coarse = rng.normal(0, 1, (size[0] // cell + 2, size[1] // cell + 2, 3)).astype(np.float32)
        total += weight * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(112 + 22 * total, 0, 255), np.uint8)


def _soft_ellipse(height: int, width: int) -> NDArray[np.float32]:
    """1 inside the ellipse that the cut-out holds, 0 at its corners."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return np.asarray(np.clip(6 * (1 - np.hypot(y, x)), 0, 1), np.float32)


def _bounced(place: float, room: float) -> int:
    """`place` folded into 0..room."""
    folded = place % (2 * room) if room > 0 else 0.0
    return round(min(folded, 2 * room - folded))
