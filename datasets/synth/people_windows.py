"""Windows cut from frames in which people were marked, at the two sizes at which the finder looks at a frame.

make(seed)    a frame of `frames`; its size: whole (as in a rough look) or enlarged (as in a close one); a window,
              most often around somebody; mirrored, recoloured, and what light, lens, sensor and codec do to it
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vitapps.datasets.sets.people_in_clips import MarkedFrame
from vitapps.datasets.synth.people import VISIBLE, Floats, Pixels, Scene
from vitapps.datasets.synth.photo_faults import disturb, recolour

_ROUGH = (230.0, 400.0)  # pixels of the frame's longer side in a rough look
_CLOSE = (400.0, 1000.0)
_ROUGH_SHARE = 0.55
_AT_SOMEBODY = 0.8
_HEIGHTS = (18.0, 320.0)  # pixels of a person: smaller and larger ones are neither learnt nor counted as ground


@dataclass(frozen=True, kw_only=True, slots=True)
class PeopleWindows:
    """`make(seed)` cuts one window of `size` pixels, the same on every call."""

    frames: Sequence[MarkedFrame]
    size: int = 256

    def make(self, seed: int) -> Scene:
        """A window with the boxes of those of whom `VISIBLE` is inside it; the others are ignored."""
        rng = np.random.default_rng(seed)
        frame = self.frames[int(rng.integers(len(self.frames)))]
        wide = math.exp(rng.uniform(*np.log(_ROUGH if rng.random() < _ROUGH_SHARE else _CLOSE)))
        scale = wide / max(frame.pixels.shape[:2])
        stretch = math.exp(rng.normal(0, 0.07))  # of the width
        sides = np.array([stretch * scale, scale])
        pixels = _resized(frame.pixels, sides)
        corner = self._corner(rng, pixels, frame.boxes * np.tile(sides, 2))
        cut = _cut(pixels, corner, self.size)
        boxes, ignored = self._inside(frame.boxes * np.tile(sides, 2), corner)
        ignored = np.concatenate([ignored, *self._inside(frame.ignored * np.tile(sides, 2), corner)])
        if rng.random() < 0.5:
            cut = np.ascontiguousarray(cut[:, ::-1])
            boxes, ignored = (_mirrored(part, self.size) for part in (boxes, ignored))
        smallest = float((boxes[:, 3] - boxes[:, 1]).min(initial=self.size))
        cut = recolour(cut, rng) if rng.random() < 0.7 else cut
        return Scene(disturb(cut, rng, 0.5 * smallest) if rng.random() < 0.6 else cut, boxes, ignored)

    def _corner(self, rng: np.random.Generator, pixels: Pixels, boxes: Floats) -> tuple[int, int]:
        """x, y of the window: anywhere, or so that somebody's middle is in it."""
        room = [max(0, side - self.size) for side in (pixels.shape[1], pixels.shape[0])]
        if len(boxes) and rng.random() < _AT_SOMEBODY:
            x0, y0, x1, y1 = boxes[int(rng.integers(len(boxes)))]
            middle = (x0 + x1) / 2, (y0 + y1) / 2
            wanted = [round(value - rng.uniform(0.25, 0.75) * self.size) for value in middle]
        else:
            wanted = [int(rng.integers(side + 1)) for side in room]
        x, y = (min(max(0, value), side) for value, side in zip(wanted, room, strict=True))
        return x, y

    def _inside(self, boxes: Floats, corner: tuple[int, int]) -> tuple[Floats, Floats]:
        """Boxes in window pixels, cut to the window: of those seen well, and of those seen in part."""
        moved = (boxes - np.tile(corner, 2)).astype(np.float32)
        cut = np.clip(moved, 0, self.size)
        whole = np.prod(moved[:, 2:] - moved[:, :2], axis=1)
        share = np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.maximum(whole, 1e-6)
        tall = moved[:, 3] - moved[:, 1]
        well = (share >= VISIBLE) & (tall >= _HEIGHTS[0]) & (tall <= _HEIGHTS[1])
        return cut[well], cut[~well & (share > 0)]


def _resized(pixels: Pixels, sides: Floats) -> Pixels:
    size = [max(1, round(float(side) * length)) for side, length in zip(sides, pixels.shape[1::-1], strict=True)]
    way = cv2.INTER_AREA if sides[1] < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)


def _cut(pixels: Pixels, corner: tuple[int, int], size: int) -> Pixels:
    """The window at `corner`; beyond the frame its last line and column, as the search pads."""
    x, y = corner
    part = pixels[y : y + size, x : x + size]
    missing = [size - side for side in part.shape[:2]]
    return np.ascontiguousarray(np.pad(part, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge"))


def _mirrored(boxes: Floats, size: int) -> Floats:
    return np.asarray(np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], axis=1), np.float32)
