"""A tracker's box beside a mask: it doubts what lies beyond where the mask agrees, and brings back what was lost."""

from __future__ import annotations

import numpy as np

from fakes.clips import squares
from vitapps.pipelines.video.box_guide import BoxGuide
from vitapps.pipelines.video.davis_scores import region_similarity


def drawn(box: tuple[float, float, float, float]) -> np.ndarray:
    x, y, w, h = (round(value) for value in box)
    mask = np.zeros((120, 160), np.float32)
    mask[y : y + h, x : x + w] = 1
    return mask


def test_doubt_and_rescue() -> None:
    pictures, boxes = squares(6)
    first = drawn(boxes[0])
    guide = BoxGuide(pictures[0], first > 0, first)
    for number in range(1, 5):
        guide.look(pictures[number], drawn(boxes[number - 1]))
        guide.learn(drawn(boxes[number]))
    true = drawn(boxes[4]) > 0
    doubt = guide.doubt(true.shape)
    assert (doubt[true] > -1).all() and doubt[-1, -1] < -4
    assert (guide.rescued(true) == true).all()  # nothing is lost
    nothing = np.zeros_like(true)
    assert region_similarity(guide.rescued(nothing), true) > 0.7
    guide.look(pictures[5], drawn((100.0, 5.0, 20.0, 20.0)))  # a mask that is elsewhere, and sure of it
    assert (guide.doubt(true.shape) == 0).all()
