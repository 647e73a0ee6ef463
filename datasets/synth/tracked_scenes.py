"""Sequences of one object with its box in every frame, drawn from a seed: to see what a tracker does, and how sure.

An object cut from a picture by a random smooth outline moves over another picture, which a camera pans. It wanders in
a sum of two sines an axis, grows and shrinks by up to three times, turns, and bends a little; light and noise change;
strangers, and doubles of the object in other colours, cross; in half of the scenes something stands in the way and
covers it, at times wholly. Truth is the box of the whole outline, covered or not, x y w h, corner origin.

What no such scene has: limbs, faces that turn away, water, shadows, and the camera of a hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.large_scene import soft_noise
from vitapps.datasets.synth.tracking_objects import Cutout, bend, cut_objects, outline, recoloured, warp, warp_over

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
_OBJECTS = 60  # pieces that a scene chooses from
_POSTURES = 4  # bends of the object, one after the other


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneConfig:
    """`side` pixels of the square frame; `frames`; `object` least and most pixels of the object at the begin; `growth`
    most change of its size; `hidden` share of scenes with something in the way; `crossing` most others."""

    side: int = 320
    frames: int = 80
    object: tuple[float, float] = (28.0, 80.0)
    growth: float = 3.0
    hidden: float = 0.5
    crossing: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Something that moves: `looks` in their order over the scene, `path` T 2 of its middle, `scale` T, `angle` T."""

    looks: Sequence[Cutout]
    path: Floats
    scale: Floats
    angle: Floats

    def matrix(self, number: int) -> Floats:
        """2 3: cutout -> frame `number`."""
        cos, sin = np.cos(self.angle[number]), np.sin(self.angle[number])
        turn = self.scale[number] * np.array([[cos, -sin], [sin, cos]])
        height, width = self.look(number).alpha.shape
        return np.column_stack([turn, self.path[number] - turn @ (width / 2, height / 2)])

    def look(self, number: int) -> Cutout:
        return self.looks[number * len(self.looks) // len(self.path)]

    def box(self, number: int) -> Floats:
        """x y w h."""
        matrix = self.matrix(number)
        points = outline(self.look(number)) @ matrix[:, :2].T + matrix[:, 2]
        low, high = points.min(axis=0), points.max(axis=0)
        return np.concatenate([low, high - low])


class TrackedScene:
    """The `frames()` and `boxes()` of one seed; `pictures` H W 3 to cut from, or none: soft noise."""

    def __init__(self, pictures: Sequence[Picture], seed: int, config: SceneConfig | None = None) -> None:
        self.config = config or SceneConfig()
        rng = np.random.default_rng([seed, 29])
        noise = soft_noise(rng, (self.config.side, self.config.side))
        given = [*pictures, np.asarray(cv2.convertScaleAbs(noise, alpha=2.0, beta=-100), np.uint8)]
        things = cut_objects(given, _OBJECTS, rng)
        self._seed, self._ground = seed, given[int(rng.integers(len(given)))]
        self._pan = self._wander(rng, 0.25 * self.config.side)
        self._zoom = float(np.exp(rng.uniform(np.log(0.7), np.log(1.6))))
        self._light = 1 + 0.25 * np.sin(np.linspace(0, rng.uniform(1, 7), self.config.frames) + rng.uniform(0, 6))
        thing = things[0]
        self._object = self._part(thing, rng, reach=0.3, growth=self.config.growth)
        others = [
            recoloured(thing, rng, 0.3) if rng.random() < 0.4 else things[1 + place]
            for place in range(int(rng.integers(self.config.crossing + 1)))
        ]
        self._under = [self._part(other, rng, reach=0.45, growth=1.3) for other in others]
        self._over = [self._obstacle(things[-1], rng)] if rng.random() < self.config.hidden else []

    def boxes(self) -> Floats:
        """T 4, x y w h."""
        return np.stack([self._object.box(number) for number in range(self.config.frames)])

    def frames(self) -> Iterator[Picture]:
        """H W 3 of every frame in order."""
        rng = np.random.default_rng([self._seed, 31])
        for number in range(self.config.frames):
            picture = self._grounded(number)
            for part in (*self._under, self._object, *self._over):
                picture = warp_over(picture, part.look(number), part.matrix(number))
            lit = picture * self._light[number] + rng.normal(0, 4, picture.shape)
            coded = cv2.imencode(".jpg", np.clip(lit, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
            yield np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)

    def _grounded(self, number: int) -> Picture:
        side, middle = self.config.side, np.array(self._ground.shape[1::-1]) / 2
        matrix = self._zoom * np.eye(2)
        return warp(self._ground, np.column_stack([matrix, side / 2 - matrix @ middle + self._pan[number]]), side)

    def _wander(self, rng: np.random.Generator, reach: float) -> Floats:
        """T 2 around 0, up to about `reach` away."""
        time = np.linspace(0, 1, self.config.frames)[:, None]
        slow, fast = (
            np.sin(2 * np.pi * (rng.uniform(*pace, 2) * time + rng.random(2))) for pace in ((0.3, 1.2), (1.2, 3.0))
        )
        return np.asarray(reach * (0.8 * slow + 0.2 * fast))

    def _part(self, thing: Cutout, rng: np.random.Generator, *, reach: float, growth: float) -> _Part:
        """Something that wanders about."""
        side, time = self.config.side, np.linspace(0, 1, self.config.frames)
        first = np.exp(rng.uniform(*np.log(self.config.object))) / np.sqrt(thing.alpha.size)
        swell = np.sin(np.pi * time * rng.uniform(0.4, 1.5)) * rng.uniform(-1, 1)
        looks = [thing]
        for _ in range(_POSTURES - 1):
            looks.append(bend(looks[-1], rng))
        return _Part(
            looks=looks, path=side / 2 + self._wander(rng, reach * side), scale=first * growth**swell,
            angle=rng.normal(0, 0.3) * np.sin(2 * np.pi * time * rng.uniform(0.3, 1.5)),
        )  # fmt: skip

    def _obstacle(self, thing: Cutout, rng: np.random.Generator) -> _Part:
        """Something that stands where the object passes, up to as large."""
        count = self.config.frames
        at = int(rng.integers(count // 4, count - count // 6))
        box = self._object.box(at)
        scale = rng.uniform(0.6, 1.2) * np.sqrt(box[2] * box[3] / thing.alpha.size)
        place = self._object.path[at] + rng.normal(0, 0.2, 2) * box[2:]
        return _Part(
            looks=[thing], path=np.tile(place, (count, 1)), scale=np.full(count, scale), angle=np.zeros(count)
        )  # fmt: skip
