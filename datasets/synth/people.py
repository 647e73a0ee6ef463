"""Windows of scenes with drawn people (`figures.py`): whole, covered in part by one another and by things, cut by the
window, on pictures without people or drawn ground, beside things that are upright and no people.

    make(seed)    a background crop or a drawn street; distractors; people, far ones first, with shadows; things in
                  front of them; then what light, lens, sensor and codec do (`photo_faults.py`)

People of one window share the height of the camera and grow towards its lower edge in half of the draws. A box spans
the whole figure, also what is covered, cut to the window; people of whom less than `VISIBLE` is seen are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.figures import Cutout, draw_figure
from vitapps.datasets.synth.photo_faults import disturb, recolour, texture
from vitapps.datasets.synth.street import draw_street, draw_thing

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
HEIGHTS = (22.0, 170.0)  # pixels of a person
VISIBLE = 0.5  # share of the whole figure
_SIMILAR = 12.0  # degrees between the cameras of people in one window


@dataclass(frozen=True, slots=True)
class Scene:
    """`pixels` S S 3 and `boxes` n 4 (x0 y0 x1 y1, pixels) of the people in it; within `ignored` m 4 nobody knows."""

    pixels: Pixels
    boxes: Floats
    ignored: Floats = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleScenes:
    """`make(seed)` draws one window of `size` pixels: `number` figures are drawn once from `poses` (n 38 3) and `seed`
    and used again and again; `backgrounds` are pictures without people (none: drawn streets alone)."""

    poses: Floats
    backgrounds: Sequence[Pixels] = ()
    number: int = 600
    size: int = 256
    seed: int = 0
    figures: list[Cutout] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        drawn = [draw_figure(self.poses[int(rng.integers(len(self.poses)))], rng) for _ in range(self.number)]
        object.__setattr__(self, "figures", drawn)

    def make(self, seed: int) -> Scene:
        """The window of a seed, the same on every call."""
        rng = np.random.default_rng(seed)
        pixels = self._background(rng)
        for _ in range(int(rng.integers(0, 6))):
            draw_thing(pixels, rng, self._crop(rng, 96))
        owner = np.full(pixels.shape[:2], -1, np.int16)
        people = self._people(rng)
        tint = np.exp(rng.normal(0, 0.07, 3) + rng.normal(0, 0.12)) * pixels.mean() ** 0.25 / 3.25
        haze = rng.uniform(0, 0.3) * (rng.random() < 0.4)
        whole = []
        for place, (figure, box) in enumerate(people):
            whole.append(_paste(pixels, owner, place, figure, box, rng, tint, haze))
        for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):
            draw_thing(pixels, rng, self._crop(rng, 96), owner)
        seen = [float((owner == place).sum()) / max(1.0, area) for place, area in enumerate(whole)]
        boxes = np.array([box for (_, box), share in zip(people, seen, strict=True) if share >= VISIBLE], np.float32)
        boxes = np.clip(boxes.reshape(-1, 4), 0, self.size)
        smallest = float((boxes[:, 3] - boxes[:, 1]).min(initial=self.size))
        return Scene(disturb(pixels, rng, 0.7 * smallest), boxes)

    def _background(self, rng: np.random.Generator) -> Pixels:
        if not self.backgrounds or rng.random() < 0.35:
            return draw_street(self.size, rng)
        return np.ascontiguousarray(self._crop(rng, self.size))

    def _crop(self, rng: np.random.Generator, size: int) -> Pixels:
        """A part of a picture at a random scale, mirrored at random, or a texture."""
        if not self.backgrounds or rng.random() < 0.08:
            return texture(size, rng)
        picture = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        height, width = picture.shape[:2]
        side = min(height, width, round(size * math.exp(rng.uniform(-0.9, 0.7))))
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        crop = cv2.resize(picture[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA)
        return recolour(np.asarray(crop[:, ::-1] if rng.random() < 0.5 else crop, np.uint8), rng)

    def _people(self, rng: np.random.Generator) -> list[tuple[Cutout, tuple[float, float, float, float]]]:
        """Figures and their boxes, far ones (with higher feet) first."""
        number = int(rng.choice([0, 1, 2, 3, 4, 6, 9], p=[0.12, 0.2, 0.2, 0.18, 0.14, 0.1, 0.06]))
        base = math.exp(rng.uniform(*np.log(HEIGHTS)))
        if number > 4:
            base = min(base, 80.0)
        grows = rng.uniform(0.5, 1.6) if rng.random() < 0.5 else 0.0
        pitch = abs(rng.normal(0, 20))
        alike = [item for item in self.figures if abs(item.pitch - pitch) < _SIMILAR] or self.figures
        found: list[tuple[Cutout, tuple[float, float, float, float]]] = []
        for _ in range(number):
            figure = alike[int(rng.integers(len(alike)))]
            feet, x = rng.uniform(0.15, 1.15) * self.size, rng.uniform(0, self.size)
            if found and rng.random() < 0.4:  # people who walk together
                x0, y0, x1, y1 = found[int(rng.integers(len(found)))][1]
                x = (x0 + x1) / 2 + rng.uniform(0.3, 1.1) * (x1 - x0) * rng.choice([-1, 1])
                feet = y1 + rng.normal(0, 0.08) * (y1 - y0)
            height = base * math.exp(rng.normal(0, 0.08)) * math.exp(grows * (feet / self.size - 0.6))
            height = float(np.clip(height, *HEIGHTS))
            width = height * figure.alpha.shape[1] / figure.alpha.shape[0]
            found.append((figure, (x - width / 2, feet - height, x + width / 2, feet)))
        return sorted(found, key=lambda item: item[1][3])


def _paste(
    pixels: Pixels, owner: NDArray[np.int16], place: int, figure: Cutout, box: tuple[float, float, float, float],
    rng: np.random.Generator, tint: NDArray[np.float64], haze: float,
) -> float:  # fmt: skip
    """Lay a figure into `box`; returns the pixels that it covers, with those beyond the window."""
    x0, y0, x1, y1 = (round(value) for value in box)
    size = max(3, x1 - x0), max(8, y1 - y0)
    alpha = np.asarray(cv2.resize(figure.alpha, size, interpolation=cv2.INTER_AREA), np.float32)
    body = cv2.resize(figure.pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) * tint.astype(np.float32)
    if rng.random() < 0.5:
        alpha, body = alpha[:, ::-1], body[:, ::-1]
    if rng.random() < 0.6:
        _shadow(pixels, alpha, (x0, y0), rng)
    height, width = pixels.shape[:2]
    low, high = (max(0, x0), max(0, y0)), (min(width, x0 + size[0]), min(height, y0 + size[1]))
    if low[0] < high[0] and low[1] < high[1]:
        inside = np.s_[low[1] - y0 : high[1] - y0, low[0] - x0 : high[0] - x0]
        there = np.s_[low[1] : high[1], low[0] : high[0]]
        share = alpha[inside][..., None]
        behind = pixels[there].astype(np.float32)
        shown = body[inside] * (1 - haze) + haze * behind.mean(axis=(0, 1))
        pixels[there] = (behind + share * (shown - behind)).clip(0, 255).astype(np.uint8)
        owner[there][alpha[inside] > 0.5] = place
    return float((alpha > 0.5).sum())


def _shadow(pixels: Pixels, alpha: Floats, corner: tuple[int, int], rng: np.random.Generator) -> None:
    """Darken the ground under a figure whose top left corner is `corner`: its outline laid down from its feet."""
    height, width = alpha.shape
    lean, flat = rng.normal(0, 0.7), rng.uniform(-0.35, 0.35)
    feet = corner[1] + height - 1
    matrix = np.array([[1, -lean, corner[0] + lean * (height - 1)], [0, flat, feet - flat * (height - 1)]], np.float32)
    cast = cv2.warpAffine(np.ascontiguousarray(alpha), matrix, pixels.shape[1::-1], flags=cv2.INTER_LINEAR)
    under = np.zeros_like(cast)
    middle = (corner[0] + width // 2, feet)
    cv2.ellipse(under, middle, (max(1, int(0.5 * width)), max(1, height // 25)), 0, 0, 360, 0.5, -1)
    reach = np.s_[min(len(pixels) - 1, max(0, feet - height)) : max(1, feet + height // 2)]
    dark = cv2.blur(np.maximum(cast, under)[reach], (3, 3)) * rng.uniform(0.2, 0.6)
    pixels[reach] = (pixels[reach] * (1 - dark[..., None])).astype(np.uint8)
