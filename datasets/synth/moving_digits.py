"""Moving MNIST from any set of digits: two of them drift over a black square and bounce off its sides.

The recipe of Srivastava et al. 2015 (arXiv:1502.04681, section 3.2.1) as its published test file was made: digits of
28 x 28 on 64 x 64, the place of each a point in the unit square of free places, one direction of any angle and 0.1 of
the square a frame; at a side the point stays on it and turns; digits overlay by their maximum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Digits = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class MovingDigits:
    """Sequences by number, the same ones every time. `sprites` N h w, uint8; `side` of the square in pixels; `step`:
    way a frame, as a share of the free places; `count` digits in each."""

    sprites: Digits
    frames: int = 20
    side: int = 64
    count: int = 2
    step: float = 0.1

    def sample(self, number: int) -> Digits:
        """frames side side, uint8: sequence `number` from 0."""
        rng = np.random.default_rng(number)
        height, width = self.sprites.shape[1:]
        canvas = np.zeros((self.frames, self.side, self.side), np.uint8)
        for _ in range(self.count):
            sprite = self.sprites[rng.integers(len(self.sprites))]
            path = drift(rng, self.frames, self.step) * (self.side - np.array([height, width]))
            for frame, (y, x) in zip(canvas, path.astype(int), strict=True):
                part = frame[y : y + height, x : x + width]
                np.maximum(part, sprite, out=part)
        return canvas

    def batch(self, first: int, count: int) -> NDArray[np.float32]:
        """count frames 1 side side in 0..1: sequences `first`, `first` + 1, …"""
        drawn = np.stack([self.sample(first + place) for place in range(count)])[:, :, None]
        return drawn.astype(np.float32) / np.float32(255)


def drift(rng: np.random.Generator, frames: int, step: float) -> NDArray[np.float64]:
    """Points frames 2 (y x) in the unit square."""
    place, angle = rng.random(2), rng.random() * 2 * np.pi
    speed = step * np.array([np.sin(angle), np.cos(angle)])
    path = np.empty((frames, 2))
    for number in range(frames):
        place = place + speed
        speed = np.where(place <= 0, np.abs(speed), np.where(place >= 1, -np.abs(speed), speed))
        place = np.clip(place, 0, 1)
        path[number] = place
    return path
