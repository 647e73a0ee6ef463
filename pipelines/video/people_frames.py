"""Single frames in which people were marked, searched as clips are: what a way of finding them scores there.

Boxes that lie for the most part in what is marked `ignore`, and are nobody who is marked, are neither hits nor faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.people_in_clips import MarkedFrame
from vitapps.pipelines.video.two_pass import Predict, TwoPassConfig, TwoPassDetector
from vitapps.pipelines.windows.box_counts import FoundBoxes
from vitapps.pipelines.windows.boxes import match

Floats = NDArray[np.float64]
Find = Callable[[MarkedFrame], tuple[Floats, Floats]]
LEAST = 0.05  # score from which on boxes count for a curve
_COVERED = 0.5  # share of a box within what is ignored
_IOU = 0.5


def search_frames(find: Find, frames: Sequence[MarkedFrame]) -> list[FoundBoxes]:
    """What `find` (frame -> boxes n 4, scores n) finds in each of the frames, without what is to be ignored."""
    return [_without_ignored(*find(frame), frame) for frame in frames]


def by_network(predict: Predict, config: TwoPassConfig) -> Find:
    """Every frame for itself, by both passes over the whole of it, from a score of `LEAST` on."""

    def find(frame: MarkedFrame) -> tuple[Floats, Floats]:
        found = TwoPassDetector(predict, config).step(frame.pixels)
        return found.boxes, found.scores

    return find


def _without_ignored(boxes: Floats, scores: Floats, frame: MarkedFrame) -> FoundBoxes:
    drawn = frame.boxes.astype(np.float64)
    hit = match(boxes, scores, drawn, _IOU)
    low = np.maximum(boxes[:, None, :2], frame.ignored[None, :, :2])  # n m 2
    high = np.minimum(boxes[:, None, 2:], frame.ignored[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2).sum(axis=1)  # n m 2 -> n
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    counts = hit | (shared < _COVERED * np.maximum(area, 1e-6))
    return FoundBoxes(boxes=boxes[counts], scores=scores[counts], drawn=drawn)
