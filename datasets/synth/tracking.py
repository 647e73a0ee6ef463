"""Pairs to train a tracker on: a template with a known box, and a later look at the surroundings, from real pixels.

Three kinds of pair, all drawn from one seed each:

- composite: an object cut from a photograph by a random smooth outline lies over another photograph. Between the two
  looks it moves, grows, turns, shears and bends, the camera moves, light and colour change; distractors (other objects,
  and recoloured or turned copies of the same one) stand around, occluders cover it, sometimes wholly.
- video: two frames of a clip with the box of something that optical flow could follow forth and back
  (`video_tracks.py`), so that changes of real objects are seen.
- photo: a textured place of a photograph, seen again under a small affine change.

The crops are those of LoRAT (arXiv:2403.05231): twice the object for the template, four times for the search region,
where "object" is the square root of the area of its box. Afterwards both are blurred, moved, made noisy, coarse and
JPEG-compressed at random. Boxes are x0 y0 x1 y1 in pixels of the search region, corner origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.tracking_light import change_light, degrade
from vitapps.datasets.synth.tracking_objects import Cutout, bend, cut_objects, outline, recoloured, warp, warp_over

Picture = NDArray[np.uint8]
OBJECT = 48.0  # pixels: root of the object's area in both crops


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """`template` T T 3, `mask` T T (1 inside the object's box), `search` S S 3; `box` 4; `present` 0 where the object
    is gone or hidden."""

    template: Picture
    mask: Picture
    search: Picture
    box: NDArray[np.float32]
    present: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One frame of a real track: the picture as JPEG bytes and the box x0 y0 x1 y1 in it."""

    jpeg: bytes
    box: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairConfig:
    """Sides in pixels and how often what happens."""

    search: int = 192
    template: int = 96
    video: float = 0.35  # share of pairs from clips, where there are any
    photo: float = 0.15
    hidden: float = 0.07
    occluded: float = 0.25
    distractors: float = 0.6


class TrackingPairs:
    """`sample(seed) -> Pair`; `photos` H W 3 in RGB, `tracks` of two or more frames each."""

    def __init__(
        self, photos: Sequence[Picture], tracks: Sequence[Sequence[Seen]] = (), *, seed: int = 0, objects: int = 1500,
        config: PairConfig | None = None,
    ) -> None:  # fmt: skip
        self.config = config or PairConfig()
        self.photos, self.tracks = list(photos), list(tracks)
        self.objects = cut_objects(self.photos, objects, np.random.default_rng(seed))

    def sample(self, seed: int) -> Pair:
        rng = np.random.default_rng(seed)
        kind = rng.random()
        if self.tracks and kind < self.config.video:
            pair = self._from_video(rng)
        elif kind > 1 - self.config.photo:
            pair = self._from_photo(rng)
        else:
            pair = self._composite(rng)
        template, search = change_light(pair.template, pair.search, rng)
        return Pair(
            template=degrade(template, rng, gentle=True), mask=pair.mask, search=degrade(search, rng), box=pair.box,
            present=pair.present,
        )  # fmt: skip

    def _composite(self, rng: np.random.Generator) -> Pair:
        thing = self._object(rng)
        first = thing
        second = bend(recoloured(thing, rng, 0.06), rng) if rng.random() < 0.6 else thing
        pose0, pose1 = _pose(rng, np.eye(2), 0.03), _pose(rng, np.eye(2), 1.0)
        low0, high0 = _extent(first, pose0)
        low1, high1 = _extent(second, pose1)
        scale0 = OBJECT / np.sqrt((high0 - low0).prod())
        scale1 = OBJECT * np.exp(rng.normal(0, 0.25)) / np.sqrt((high1 - low1).prod())
        side, small = self.config.search, self.config.template
        middle = _place(rng, side)
        ground0, ground1 = self._grounds(rng, scale1 / scale0)
        template = warp_over(
            ground0, first, _affine(pose0 * scale0, _middle(pose0, low0, high0), np.full(2, small / 2))
        )
        search = ground1
        box = np.concatenate([middle - scale1 * (high1 - low1) / 2, middle + scale1 * (high1 - low1) / 2])
        for _ in range(int(rng.integers(1, 4)) if rng.random() < self.config.distractors else 0):
            search = self._distract(search, thing, box, rng)
        hidden = rng.random() < self.config.hidden
        if not hidden:
            search = warp_over(search, second, _affine(pose1 * scale1, _middle(pose1, low1, high1), middle))
            if rng.random() < self.config.occluded:
                search = self._occlude(search, box, rng)
        half = scale0 * (high0 - low0) / 2
        return self._pair(template, np.concatenate([small / 2 - half, small / 2 + half]), search, box, not hidden)

    def _from_video(self, rng: np.random.Generator) -> Pair:
        track = self.tracks[int(rng.integers(len(self.tracks)))]
        first = int(rng.integers(len(track)))
        second = int(np.clip(first + rng.integers(-12, 13), 0, len(track) - 1))
        (one, box0), (two, box1) = ((_decoded(track[place]), np.array(track[place].box)) for place in (first, second))
        return self._look(one, box0, two, box1, rng, turn=0.2)

    def _from_photo(self, rng: np.random.Generator) -> Pair:
        photo = self.photos[int(rng.integers(len(self.photos)))]
        height, width = photo.shape[:2]
        best, energy = np.zeros(4), -1.0
        for _ in range(4):  # the most textured of four places
            size = np.exp(rng.uniform(np.log(16), np.log(min(height, width) / 3)))
            aspect = np.exp(rng.normal(0, 0.4))
            half = np.array([size * aspect**0.5, size / aspect**0.5]) / 2
            at = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height])
            low, high = np.maximum(at - half, 0), np.minimum(at + half, [width, height])
            part = photo[int(low[1]) : int(high[1]) + 1, int(low[0]) : int(high[0]) + 1]
            if (found := float(part.std())) > energy:
                best, energy = np.concatenate([low, high]), found
        return self._look(photo, best, photo, best, rng, turn=1.0)

    def _look(
        self, one: Picture, box0: NDArray[np.float64], two: Picture, box1: NDArray[np.float64],
        rng: np.random.Generator, *, turn: float,
    ) -> Pair:  # fmt: skip
        """Template from `one`, search region from `two`, with a random change of view of strength `turn`."""
        side, small = self.config.search, self.config.template
        scale0 = OBJECT / np.sqrt(max((box0[2:] - box0[:2]).prod(), 16))
        view = _pose(rng, np.eye(2), turn) * OBJECT * np.exp(rng.normal(0, 0.22))
        view = view / np.sqrt(max((box1[2:] - box1[:2]).prod(), 16))
        middle = _place(rng, side)
        template = warp(one, _affine(np.eye(2) * scale0, (box0[:2] + box0[2:]) / 2, np.full(2, small / 2)), small)
        search = warp(two, _affine(view, (box1[:2] + box1[2:]) / 2, middle), side)
        corners = np.array([[box1[i], box1[j]] for i in (0, 2) for j in (1, 3)]) - (box1[:2] + box1[2:]) / 2
        moved = corners @ view.T + middle
        box = np.concatenate([moved.min(axis=0), moved.max(axis=0)])
        if rng.random() < 0.5 * self.config.distractors:
            search = self._distract(search, self._object(rng), box, rng)
        if rng.random() < 0.6 * self.config.occluded:
            search = self._occlude(search, box, rng)
        half = scale0 * (box0[2:] - box0[:2]) / 2
        return self._pair(template, np.concatenate([small / 2 - half, small / 2 + half]), search, box, True)

    def _pair(
        self, template: Picture, box0: NDArray[np.float64], search: Picture, box: NDArray[np.float64], present: bool
    ) -> Pair:
        mask = np.zeros(template.shape[:2], np.uint8)
        x0, y0, x1, y1 = np.clip(np.round(box0), 0, len(mask)).astype(int)
        mask[y0:y1, x0:x1] = 1
        return Pair(template=template, mask=mask, search=search, box=box.astype(np.float32), present=float(present))

    def _object(self, rng: np.random.Generator) -> Cutout:
        return self.objects[int(rng.integers(len(self.objects)))]

    def _grounds(self, rng: np.random.Generator, zoom: float) -> tuple[Picture, Picture]:
        """Backgrounds of both crops: one photograph under camera motion, in a tenth of the pairs two."""
        side, small = self.config.search, self.config.template
        photo = self.photos[int(rng.integers(len(self.photos)))]
        other = photo if rng.random() < 0.9 else self.photos[int(rng.integers(len(self.photos)))]
        at = np.array([rng.uniform(0, photo.shape[1]), rng.uniform(0, photo.shape[0])])
        scale = np.exp(rng.uniform(np.log(0.4), np.log(2.0)))
        moved = at + rng.normal(0, 30, 2) / scale
        first = warp(photo, _affine(np.eye(2) * scale, at, np.full(2, small / 2)), small)
        return first, warp(other, _affine(np.eye(2) * scale * zoom, moved, np.full(2, side / 2)), side)

    def _distract(self, search: Picture, thing: Cutout, box: NDArray[np.float64], rng: np.random.Generator) -> Picture:
        """Something else beside the box: a stranger, or the object's double in other colours or another posture."""
        double = rng.random() < 0.45
        other = bend(recoloured(thing, rng, 0.35), rng) if double else self._object(rng)
        pose = _pose(rng, np.eye(2), 2.5)
        low, high = _extent(other, pose)
        scale = OBJECT * np.exp(rng.normal(0, 0.3)) / np.sqrt((high - low).prod())
        for _ in range(6):
            at = rng.uniform(0, self.config.search, 2)
            if (np.abs(at - (box[:2] + box[2:]) / 2) > 0.7 * (box[2:] - box[:2])).any():
                return warp_over(search, other, _affine(pose * scale, _middle(pose, low, high), at))
        return search

    def _occlude(self, search: Picture, box: NDArray[np.float64], rng: np.random.Generator) -> Picture:
        """Cover a side of the box, up to about half of it."""
        other = self._object(rng)
        pose = _pose(rng, np.eye(2), 2.0)
        low, high = _extent(other, pose)
        scale = OBJECT * np.exp(rng.normal(-0.1, 0.4)) / np.sqrt((high - low).prod())
        angle = rng.uniform(0, 2 * np.pi)
        reach = 0.5 * (box[2:] - box[:2]) + 0.35 * scale * (high - low) / 2
        at = (box[:2] + box[2:]) / 2 + reach * np.array([np.cos(angle), np.sin(angle)])
        return warp_over(search, other, _affine(pose * scale, _middle(pose, low, high), at))


def _decoded(seen: Seen) -> Picture:
    picture = cv2.imdecode(np.frombuffer(seen.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)  # B G R -> R G B


def _pose(rng: np.random.Generator, base: NDArray[np.float64], force: float) -> NDArray[np.float64]:
    """2 2: a random turn, stretch and shear of strength `force`; seldom a large turn."""
    spread = 0.2 if rng.random() > 0.06 else 1.0
    angle, shear, stretch = rng.normal(0, spread * force), rng.normal(0, 0.06 * force), rng.normal(0, 0.12 * force)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.asarray(turn @ np.array([[1, shear], [0, 1]]) @ np.diag([np.exp(stretch), np.exp(-stretch)]) @ base)


def _place(rng: np.random.Generator, side: int) -> NDArray[np.float64]:
    """Centre of the object in the search region: mostly near its middle, where the last frame saw it."""
    wide = rng.random() < 0.3
    shift = rng.uniform(-70, 70, 2) if wide else rng.normal(0, 20, 2)
    return side / 2 + np.clip(shift, -76, 76) * side / 192


def _extent(thing: Cutout, pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = outline(thing) @ pose.T
    return points.min(axis=0), points.max(axis=0)


def _middle(
    pose: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """The point of a cutout that `pose` takes to the middle of its extent."""
    return np.asarray(np.linalg.solve(pose, (low + high) / 2))


def _affine(
    matrix: NDArray[np.float64], centre: NDArray[np.float64], to: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """2 3, corner coordinates: `matrix`, with the point `centre` of the source landing at `to`."""
    return np.column_stack([matrix, to - matrix @ centre])
