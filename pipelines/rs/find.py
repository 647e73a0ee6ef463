"""The search itself: every window of an area through a detector, candidates merged to one box an object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.rs.area import Area
from vitapps.pipelines.rs.confirm import candidates
from vitapps.pipelines.rs.gsd import Scale
from vitapps.pipelines.rs.merge import judge_in_window
from vitapps.pipelines.rs.scan import Picture
from vitapps.pipelines.rs.spec import DetectorSpec
from vitapps.pipelines.windows.boxes import Floats, Ints, nms
from vitapps.progress import Task

# windows B 3 S S in 0..1 -> score maps B K h w (0..1) and box maps B 4 h w (pixels of the window)
Predict = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]
_EMPTY_SHARE = 0.5  # of a box on nodata: more, and there is no evidence for it


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """What counts: `floor` lowest score by class index, `iou` of the suppression, `sizes` the smallest and largest
    longer side of a box in metres, `area` where its centre must lie."""

    floor: Floats
    iou: float
    area: Area
    sizes: tuple[float, float] = (0.0, np.inf)


@dataclass(slots=True)
class Candidates:
    """`boxes` n 4, `scores` n, `labels` n (class index) and `cut` n: seen only in part by its window."""

    boxes: Floats
    scores: Floats
    labels: Ints
    cut: NDArray[np.bool_]

    def __getitem__(self, chosen: NDArray[Any]) -> Candidates:
        return Candidates(self.boxes[chosen], self.scores[chosen], self.labels[chosen], self.cut[chosen])

    def suppressed(self, iou: float) -> Candidates:
        """One of those that overlap; whatever was seen whole wins over what was cut."""
        return self[nms(self.boxes, self.scores - self.cut, iou, self.labels)]


def joined(parts: Sequence[Candidates]) -> Candidates:
    """All of `parts` in their order."""
    return Candidates(
        np.concatenate([np.zeros((0, 4)), *(part.boxes for part in parts)]),
        np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.labels for part in parts)]),
        np.concatenate([np.zeros(0, bool), *(part.cut for part in parts)]),
    )


@dataclass(slots=True)
class Search:
    """State of one raster's search: candidates so far (raster pixels) and the number of valid model pixels seen."""

    spec: DetectorSpec
    scale: Scale
    rules: Filter
    predict: Predict
    batch: int = 4
    covered: int = 0
    found: list[Candidates] = field(default_factory=list)

    def run(self, pictures: Iterable[Picture], task: Task) -> None:
        """Search every picture; `task` advances by one for each."""
        for picture in pictures:
            self.add(picture)
            task.advance()

    def add(self, picture: Picture) -> None:
        """Search the windows of one block and keep its candidates, suppressed within the block."""
        self.covered += self._covered(picture)
        if picture.valid.any():
            candidates = self._candidates(picture)
            self.found.append(candidates[self._wanted(candidates.boxes)].suppressed(self.rules.iou))

    def result(self) -> Candidates:
        """Each object once, boxes in raster pixels, by falling score."""
        found = joined(self.found).suppressed(self.rules.iou)
        return found[np.argsort(-found.scores, kind="stable")]

    def _covered(self, picture: Picture) -> int:
        """Valid model pixels of the block's own part that lie in the area."""
        x0, y0, x1, y1 = picture.block.core
        left, top = picture.block.rect[:2]
        own = picture.valid[y0 - top : y1 - top, x0 - left : x1 - left]
        inside = own & self.rules.area.mask(picture.block.core, self.scale) if own.size else own
        return int(inside.sum())

    def _candidates(self, picture: Picture) -> Candidates:
        """Candidates of all windows that show something wanted, in raster pixels."""
        block = picture.block
        places = np.flatnonzero(self._worthwhile(picture))
        batches = (places[i : i + self.batch] for i in range(0, len(places), self.batch))
        with ThreadPoolExecutor(1, "vitapps-judge") as judge:  # beside the network, which sees the next ones meanwhile
            parts = [judge.submit(self._of_windows, picture, *self._seen(picture, batch)) for batch in batches]
            found = joined([part.result() for part in parts])
        found = found[_evidence(found.boxes - np.tile(block.rect[:2], 2), picture.valid) >= 1 - _EMPTY_SHARE]
        limit = np.array([self.scale.width, self.scale.height] * 2)
        found.boxes = np.clip(found.boxes, 0, limit) / (self.scale.x, self.scale.y, self.scale.x, self.scale.y)
        return found

    def _seen(self, picture: Picture, places: Ints) -> tuple[Ints, NDArray[np.uint8], Sequence[NDArray[np.float32]]]:
        """Some windows of a block: their numbers b, their pixels b 3 S S, what the network makes of them."""
        size = self.spec.window
        at = picture.block.origins[places] - picture.block.rect[:2]  # b 2
        windows = np.stack([picture.rgb[:, y : y + size, x : x + size] for x, y in at])  # -> b 3 S S
        return places, windows, self.predict(windows.astype(np.float32) / np.float32(255))

    def _of_windows(
        self, picture: Picture, places: Ints, windows: NDArray[np.uint8], maps: Sequence[NDArray[np.float32]]
    ) -> Candidates:
        """Candidates of some windows of a block, in model pixels of the whole raster."""
        block, size = picture.block, self.spec.window
        origins = block.origins[places]  # b 2
        score_maps, box_maps, *_ = maps
        found = candidates(
            (score_maps, box_maps), windows, self.rules.floor, weight=self.spec.confirm, gsd=self.spec.gsd,
            top_k=self.spec.top_k, peaks=self.spec.peaks,
        )  # fmt: skip
        owned = block.owned[places] - np.tile(origins, 2)
        inner = np.concatenate([origins > 0, origins + size < (self.scale.width, self.scale.height)], axis=1)  # b 4
        which = found.images
        counts, cut = judge_in_window(found.boxes, owned[which], inner[which], size, self.spec.overlap)
        boxes = found.boxes + np.tile(origins, 2)[which]
        return Candidates(boxes, found.scores, found.labels, cut)[counts]

    def _worthwhile(self, picture: Picture) -> NDArray[np.bool_]:
        """Which windows own a valid pixel and touch the area."""
        block = picture.block
        left, top = block.rect[:2]
        spans = np.rint(block.owned - (left, top, left, top)).astype(int)
        some = np.array([picture.valid[y0:y1, x0:x1].any() for x0, y0, x1, y1 in spans])
        to_raster = (self.scale.x, self.scale.y, self.scale.x, self.scale.y)
        return np.asarray(some & self.rules.area.touches(block.owned / to_raster))

    def _wanted(self, boxes: Floats) -> NDArray[np.bool_]:
        """Boxes n 4 (raster pixels) of the wanted size with their centre in the area and on the raster."""
        sides = boxes[:, 2:] - boxes[:, :2]
        longest = (sides * self.scale.pixel).max(axis=1, initial=0)
        smallest, largest = self.rules.sizes
        fits = (sides > 0).all(axis=1) & (longest >= smallest) & (longest <= largest)
        return np.asarray(fits & self.rules.area.contains((boxes[:, :2] + boxes[:, 2:]) / 2))


def _evidence(boxes: Floats, valid: NDArray[np.bool_]) -> Floats:
    """The share of valid pixels under each box `n 4` (pixels of `valid` h w), what lies outside not counted."""
    if valid.all():
        return np.ones(len(boxes))
    table = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int32)
    table[1:, 1:] = valid.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    limit = np.array([valid.shape[1], valid.shape[0]] * 2)
    x0, y0, x1, y1 = np.clip(np.rint(boxes), 0, limit).astype(int).T
    count = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
    return np.asarray(count / np.maximum((x1 - x0) * (y1 - y0), 1))
