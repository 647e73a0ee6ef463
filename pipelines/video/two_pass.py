"""Objects in 4K and 8K frames with fewer calls than tiling: a rough look everywhere, a close look where it matters.

Ruzicka and Franchetti 2018 (arXiv:1810.10551, section III): the frame is searched small first; windows at full size
follow only where the rough pass saw something. Carried over time, as they do: where objects were in the last frame, and
where the picture changed, is looked at closely too. Every `refresh` frames the whole frame is, so that what the rough
pass cannot see and does not move is found as well. Objects larger than the overlap of windows may come from the first
pass, all others from the second. The crops of several frames share batches, so that few crops a frame fill them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.windows.boxes import Floats, Ints, box_area, decode, nms
from vitapps.pipelines.windows.plan import plan_windows

CARD = {
    "id": "S036",
    "name": "two_pass",
    "family": "video",
    "paper": "Ruzicka and Franchetti 2018, arXiv:1810.10551",
    "equation": "section III (attention and final evaluation, active crops joined with those of the frame before)",
    "deviations": "the picture's changes are looked at too, and every few frames all of it; the rough pass gives large "
    "objects itself; any detector in the place of YOLO v2; one machine in the place of a server of GPUs",
    "slots": [],
    "cost": "windows of the rough pass and of what is active, in the place of all",
    "status": "core",
}
Pixels = NDArray[np.uint8]
Predict = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]
Candidates = tuple[Floats, Floats, Ints]  # boxes n 4 in frame pixels, scores n, labels n
_NOTHING: Candidates = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
_CHANGE_SIDE = 16  # a cell of the change map has this many pixels at the rough scale
_CHANGED = 12.0  # grey levels, mean over a cell
_ROUGH = 0.4  # of a class's threshold is enough to look closer
_RELIABLE = 8  # pixels of the rough pass that the longer side of a box needs for its place to be exact
_INSIDE = 0.7  # of a box's area within a better box: the same object
_EASY = 3.0  # times the smallest side that a network sees: it is sure of such objects
_GLANCE = 1.0  # times that side: enough to look closer
_CUT = 2  # pixels: a box that ends this near to the edge of its window, inside the frame, was seen in part


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoPassConfig:
    """`window` pixels a side that the network takes, `overlap` 0..1 of windows; `thresholds` by class; `rough`: the
    frame's size in the first pass, as a share; `scale` of the close pass: 1 is the frame's own pixels, less for objects
    larger than the network knows; `refresh` 0: never look closely everywhere but in the first frame."""

    window: int
    thresholds: tuple[float, ...]
    overlap: float = 0.25
    nms_iou: float = 0.5
    peaks: bool = True
    rough: float = 0.25
    scale: float = 1.0
    refresh: int = 30
    batch: int = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFound:
    """`boxes` n 4 (x0 y0 x1 y1, frame pixels), `scores` n, `labels` n; `calls`: windows computed, of `tiles` that
    tiling the frame would take; `ids` n: numbers of objects over time, where the search gives any."""

    boxes: Floats
    scores: Floats
    labels: Ints
    calls: int
    tiles: int
    ids: Ints | None = None


def scales_for(smallest: float, visible: float) -> tuple[float, float]:
    """(rough, scale) for objects from `smallest` frame pixels on, by a network that sees them from `visible` pixels on:
    the size of the windows in the frame follows that of the objects."""
    scale = min(4.0, _EASY * visible / smallest)
    return min(1.0, _GLANCE * visible / smallest), scale


class TwoPassDetector:
    """Give it the frames of a clip in order. `everywhere`: plain tiling, to compare with."""

    def __init__(self, predict: Predict, config: TwoPassConfig, *, everywhere: bool = False) -> None:
        self._predict, self._config, self._everywhere = predict, config, everywhere
        self._last: Floats = np.zeros((0, 4))
        self._grey: Pixels | None = None
        self._number = 0

    def step(self, pixels: Pixels) -> FrameFound:
        """Search the next frame, H W 3."""
        return self.steps([pixels])[0]

    def steps(self, frames: Sequence[Pixels]) -> list[FrameFound]:
        """Search the next frames, H W 3 of one size, together: their windows share batches. What the frame before all
        of them showed, and what changed since, is looked at closely in each."""
        config = self._config
        close = [_resized(pixels, config.scale) for pixels in frames]
        corners = _corners(close[0].shape[:2], config)
        parts: list[list[Candidates]] = [[] for _ in frames]
        wanted, rough_calls = [np.zeros((0, 4))] * len(frames), 0
        if not self._everywhere:
            small = [_resized(pixels, config.rough) for pixels in frames]
            rough_corners = _corners(small[0].shape[:2], config)
            rough = self._search(small, [rough_corners] * len(frames), config.rough, floor=_ROUGH)
            parts = [[self._sure(found)] for found in rough]
            wanted = self._wanted([found[0] for found in rough], small)
            rough_calls = len(rough_corners)
        chosen = [
            corners if self._looks_everywhere(place) else _touching(corners, boxes * config.scale, config.window)
            for place, boxes in enumerate(wanted)
        ]
        seen = self._search(close, chosen, config.scale, floor=1.0)
        found = [
            self._joined([*part, closely], rough_calls + len(looked), len(corners))
            for part, closely, looked in zip(parts, seen, chosen, strict=True)
        ]
        self._last = found[-1].boxes
        self._number += len(frames)
        return found

    def _looks_everywhere(self, place: int) -> bool:
        """Whether frame `place` of this group is one that is searched as a whole."""
        number, refresh = self._number + place, self._config.refresh
        return self._everywhere or number == 0 or (refresh > 0 and number % refresh == 0)

    def _sure(self, rough: Candidates) -> Candidates:
        """What the rough pass alone may say: large, sure objects."""
        config, (boxes, scores, labels) = self._config, rough
        longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)  # frame pixels
        sure = scores >= np.array(config.thresholds)[labels]
        sure &= config.scale * longer > config.overlap * config.window  # smaller: whole in some close window
        sure &= config.rough * longer > _RELIABLE
        return boxes[sure], scores[sure], labels[sure]

    def _wanted(self, rough: Sequence[Floats], small: Sequence[Pixels]) -> list[Floats]:
        """Per frame the boxes n 4 that want a close look; a change within the group is looked at until its end."""
        carried, wanted = self._last, []
        for boxes, picture in zip(rough, small, strict=True):
            carried = np.concatenate([carried, self._changed(picture)])
            wanted.append(np.concatenate([boxes, carried]))
        return wanted

    def _joined(self, parts: Sequence[Candidates], calls: int, tiles: int) -> FrameFound:
        """Each object of a frame once."""
        boxes, scores, labels = _concatenated(parts)
        kept = nms(boxes, scores, self._config.nms_iou, labels)
        kept = kept[~_parts_of_others(boxes[kept], labels[kept])]
        return FrameFound(
            boxes=boxes[kept], scores=scores[kept], labels=labels[kept].astype(np.int64), calls=calls, tiles=tiles
        )  # fmt: skip

    def _search(
        self, pictures: Sequence[Pixels], corners: Sequence[Sequence[tuple[int, int]]], scale: float, *, floor: float
    ) -> list[Candidates]:
        """By picture, whose side is `scale` of its frame's: boxes in frame pixels, scores, labels of its windows."""
        config, size = self._config, self._config.window
        padded = [_padded(pixels, size) for pixels in pictures]
        threshold = floor * np.array(config.thresholds)
        places = [(number, y, x) for number, part in enumerate(corners) for y, x in part]
        parts: list[list[Candidates]] = [[_NOTHING] for _ in pictures]
        for first in range(0, len(places), config.batch):
            batch = places[first : first + config.batch]
            windows = np.stack([padded[n][y : y + size, x : x + size] for n, y, x in batch]).transpose(0, 3, 1, 2)
            maps, sides = self._predict(np.ascontiguousarray(windows, np.float32) / np.float32(255))
            found = decode(maps, sides, threshold, peaks=config.peaks)
            offsets = np.array([(x, y, x, y) for _, y, x in batch], np.float64)[found.images]
            whole = _seen_whole(found.boxes, offsets, size, pictures[0].shape[:2])
            scores = np.where(whole, found.scores, 0.5 * found.scores)  # who saw it whole wins
            owner = np.array([number for number, _, _ in batch])[found.images]
            for number in np.unique(owner):
                own = owner == number
                parts[number].append(((found.boxes + offsets)[own] / scale, scores[own], found.labels[own]))
        return [_concatenated(part) for part in parts]

    def _changed(self, small: Pixels) -> Floats:
        """Boxes n 4 of the cells of the frame in which the picture changed since the last, in frame pixels."""
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        before, self._grey = self._grey, grey
        if before is None or before.shape != grey.shape:
            return np.zeros((0, 4))
        cells = max(1, grey.shape[1] // _CHANGE_SIDE), max(1, grey.shape[0] // _CHANGE_SIDE)
        change = cv2.resize(cv2.absdiff(before, grey).astype(np.float32), cells, interpolation=cv2.INTER_AREA)
        y, x = np.nonzero(np.asarray(change) > _CHANGED)
        side = np.array([grey.shape[1] / cells[0], grey.shape[0] / cells[1]]) / self._config.rough
        low = np.stack([x, y], axis=1) * side
        return np.concatenate([low, low + side], axis=1)


def _concatenated(parts: Sequence[Candidates]) -> Candidates:
    boxes, scores, labels = (np.concatenate(items) for items in zip(*parts, strict=True))
    return boxes, scores, labels


def _corners(size: tuple[int, ...], config: TwoPassConfig) -> list[tuple[int, int]]:
    plan = plan_windows(size[:2], (config.window, config.window), config.overlap)
    return [(int(y), int(x)) for y, x in plan]


def _touching(corners: Sequence[tuple[int, int]], boxes: Floats, size: int) -> list[tuple[int, int]]:
    """The fewest windows that hold the middle of every box, each box by the window whose own middle is nearest."""
    if not len(boxes):
        return []
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2  # n 2, x y
    middles = np.array([(x + size / 2, y + size / 2) for y, x in corners])
    nearest = np.abs(centres[:, None] - middles[None]).max(axis=2).argmin(axis=1)
    return [corners[place] for place in np.unique(nearest)]


def _seen_whole(boxes: Floats, offsets: Floats, size: int, frame: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether a box (window pixels) keeps away from the edges of its window that are not edges of the frame."""
    height, width = frame[:2]
    ends = np.array([0, 0, width, height])
    edges = np.array([0, 0, size, size])
    near = np.abs(boxes - edges) < _CUT
    at_frame = np.abs(edges + offsets - ends) < 1
    return np.asarray(~(near & ~at_frame).any(axis=1))


def _parts_of_others(boxes: Floats, labels: Ints) -> NDArray[np.bool_]:
    """Which boxes, ordered by falling score, lie for the most part in one before them of the same class: what a window
    that cut the object has seen of it."""
    inside = np.zeros(len(boxes), bool)
    areas = box_area(boxes)
    for place in range(1, len(boxes)):
        before = np.flatnonzero((labels[:place] == labels[place]) & ~inside[:place])
        low, high = np.maximum(boxes[before, :2], boxes[place, :2]), np.minimum(boxes[before, 2:], boxes[place, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        inside[place] = bool((shared > _INSIDE * areas[place]).any())
    return inside


def _resized(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _padded(pixels: Pixels, size: int) -> Pixels:
    """At least one window, by repeating the last line and column."""
    missing = [max(0, size - side) for side in pixels.shape[:2]]
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else pixels
