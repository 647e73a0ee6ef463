"""Three frames with the mask of one object, to train what follows masks: the first, the one before, the one to segment.

Objects cut from photographs by random outlines drift over another photograph while the camera drifts as well; they
grow, turn and bend, light and colour change, and they cover one another. The object that is followed is any of them, so
nothing but its mask tells which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.tracking_light import change_light
from vitapps.datasets.synth.tracking_objects import Cutout, bend, cut_objects, recoloured, warp, warp_over

Picture = NDArray[np.uint8]
_CUTOUTS = 300
_STEPS = (0.0, 1.0, 1.3)  # how far each of the three frames is along the drift: the first is far from the other two


@dataclass(frozen=True, kw_only=True, slots=True)
class Triple:
    """`frames` 3 S S 3, `masks` 3 S S in 0..255; the last of each is the one to segment."""

    frames: Picture
    masks: Picture


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskTriples:
    """`sample(number)`, the same triple every time. `photos`: pictures H W 3; `side` S in pixels."""

    photos: Sequence[Picture]
    side: int = 128
    seed: int = 0
    cutouts: tuple[Cutout, ...] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        object.__setattr__(self, "cutouts", tuple(cut_objects(self.photos, _CUTOUTS, rng)))

    def sample(self, number: int) -> Triple:
        """Triple `number` from 0."""
        rng = np.random.default_rng((self.seed, number))
        ground = self.photos[int(rng.integers(len(self.photos)))]
        camera = _Drift.drawn(rng, self.side, size=self.side * rng.uniform(1.0, 1.6), reach=0.05)
        things = [self._thing(rng) for _ in range(rng.integers(1, 4))]
        drifts = [
            _Drift.drawn(rng, self.side, size=self.side * rng.uniform(0.15, 0.6), reach=0.2) for _ in things
        ]  # fmt: skip
        meant = int(rng.integers(len(things)))
        drawn = [self._frame(ground, camera, things, drifts, meant, step, rng) for step in _STEPS]
        (first, *later), masks = zip(*drawn, strict=True)
        first, both = change_light(first, np.concatenate(later, axis=1), rng)  # the two later frames share their light
        return Triple(frames=np.stack([first, both[:, : self.side], both[:, self.side :]]), masks=np.stack(masks))

    def _thing(self, rng: np.random.Generator) -> Cutout:
        return recoloured(self.cutouts[rng.integers(len(self.cutouts))], rng, 0.1)

    def _frame(
        self, ground: Picture, camera: _Drift, things: Sequence[Cutout], drifts: Sequence[_Drift], meant: int,
        step: float, rng: np.random.Generator,
    ) -> tuple[Picture, Picture]:  # fmt: skip
        """(frame S S 3, mask S S) at a moment of the drift; things that come later cover earlier ones."""
        side = self.side
        picture = warp(ground, camera.matrix(ground.shape[:2], step), side)
        mask = np.zeros((side, side, 3), np.uint8)
        for place, (thing, drift) in enumerate(zip(things, drifts, strict=True)):
            bent = bend(thing, rng)
            matrix = drift.matrix(thing.alpha.shape, step)
            picture = warp_over(picture, bent, matrix)
            shade = np.full_like(bent.pixels, 255 if place == meant else 0)
            mask = warp_over(mask, Cutout(pixels=shade, alpha=bent.alpha), matrix)
        return picture, np.ascontiguousarray(mask[..., 0])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drift:
    """Where something is at a moment: `centre` and `way` (x y) in pixels, `size` in pixels and its log growth, `angle`
    and turn in radians."""

    centre: NDArray[np.float64]
    way: NDArray[np.float64]
    size: float
    growth: float
    angle: float
    turn: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, side: int, *, size: float, reach: float) -> _Drift:
        """Around the middle, moving by up to a few times `reach` of the side."""
        middle = np.full(2, side / 2)
        wide = max(0.0, side - size) / 3
        return cls(
            centre=middle + rng.uniform(-wide, wide, 2), way=rng.normal(0, reach * side, 2), size=size,
            growth=rng.normal(0, 0.8 * reach), angle=rng.normal(0, 0.2), turn=rng.normal(0, reach),
        )  # fmt: skip

    def matrix(self, shape: tuple[int, ...], step: float) -> NDArray[np.float64]:
        """2 3: corner coordinates of a picture of `shape` H W -> those of the frame."""
        scale = self.size * np.exp(self.growth * step) / min(shape[:2])
        angle = self.angle + self.turn * step
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([shape[1], shape[0]]) / 2
        return np.column_stack([turn, self.centre + self.way * step - turn @ middle])


def joined(triple: Triple) -> NDArray[np.float32]:
    """12 S S in 0..1: the query's colours and an empty channel, then colours and mask of the first frame and of the one
    before."""
    frames = triple.frames.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)  # 3 3 S S
    masks = triple.masks[:, None].astype(np.float32) / np.float32(255)
    empty = np.zeros_like(masks[2])
    return np.concatenate([frames[2], empty, frames[0], masks[0], frames[1], masks[1]])
