"""IoU, suppression against the plain loop, decoding."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.pipelines.windows.boxes import box_iou, decode, nms

Floats = NDArray[np.float64]


def plain_nms(boxes: Floats, scores: Floats, iou: float, labels: NDArray[np.int64]) -> list[int]:
    """Greedy suppression by its definition."""
    overlaps = box_iou(boxes, boxes)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if not any(overlaps[index, other] > iou and labels[index] == labels[other] for other in kept):
            kept.append(int(index))
    return kept


def some_boxes(number: int, span: float, seed: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-span / 2, span / 2, (number, 2))
    sides = np.exp(rng.normal(2, 1, (number, 2)))
    scores = rng.random(number).round(2)  # ties
    return np.concatenate([corner, corner + sides], axis=1), scores, rng.integers(0, 3, number)


def test_iou_by_hand() -> None:
    first = [[0, 0, 2, 2], [0, 0, 0, 0]]
    second = [[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6], [0, 0, 0, 0]]
    assert np.allclose(box_iou(first, second), [[1 / 7, 1, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("iou", [0.0, 0.1, 0.4, 0.75, 1.0])
@pytest.mark.parametrize(("number", "span"), [(1, 1.0), (40, 10.0), (400, 40.0), (400, 1000.0)])
def test_nms_equals_the_plain_loop(number: int, span: float, iou: float) -> None:
    boxes, scores, labels = some_boxes(number, span, seed=number)
    assert nms(boxes, scores, iou, labels).tolist() == plain_nms(boxes, scores, iou, labels)
    assert nms(boxes, scores, iou).tolist() == plain_nms(boxes, scores, iou, np.zeros_like(labels))


def test_nms_over_several_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitapps.pipelines.windows.boxes._FIRST_ROUND", 16)
    monkeypatch.setattr("vitapps.pipelines.windows.boxes._PAIRS_AT_ONCE", 50)
    boxes, scores, labels = some_boxes(300, 60.0, seed=5)
    assert nms(boxes, scores, 0.3, labels).tolist() == plain_nms(boxes, scores, 0.3, labels)


def test_nms_of_nothing_and_of_unequal_lengths() -> None:
    assert len(nms(np.zeros((0, 4)), np.zeros(0))) == 0
    with pytest.raises(ValueError, match="2 boxes but 1 scores"):
        nms(np.zeros((2, 4)), [0.5])


def maps(scores: Floats) -> NDArray[np.float32]:
    """Boxes of one cell around each place of B K h w scores."""
    batch, _, deep, wide = scores.shape
    y, x = np.mgrid[:deep, :wide].astype(np.float32)
    return np.broadcast_to(np.stack([x, y, x + 1, y + 1]), (batch, 4, deep, wide)).copy()


def test_decode_orders_thresholds_and_limits() -> None:
    scores = np.zeros((2, 2, 3, 4))
    scores[0, 0, 1, 2], scores[0, 1, 0, 0], scores[0, 0, 2, 3], scores[1, 1, 2, 1] = 0.6, 0.9, 0.3, 0.5
    found = decode(scores, maps(scores), [0.2, 0.5])
    assert found.images.tolist() == [0, 0, 0, 1]
    assert found.labels.tolist() == [1, 0, 0, 1]
    assert np.allclose(found.scores, [0.9, 0.6, 0.3, 0.5])
    assert found.boxes[1].tolist() == [2, 1, 3, 2]
    assert decode(scores, maps(scores), [0.2, 0.6]).images.tolist() == [0, 0, 0]
    assert decode(scores, maps(scores), 0.2, top_k=1).scores.tolist() == [0.9, 0.5]


def test_decode_finds_peaks_only() -> None:
    scores = np.zeros((1, 1, 5, 5))
    scores[0, 0, 2, 2], scores[0, 0, 2, 3], scores[0, 0, 0, 0], scores[0, 0, 4, 4] = 0.8, 0.7, 0.4, 0.5
    assert decode(scores, maps(scores), 0.1, peaks=True).scores.tolist() == [0.8, 0.5, 0.4]


def test_decode_drops_impossible_boxes() -> None:
    scores = np.full((1, 1, 1, 4), 0.9)
    boxes = maps(scores)
    boxes[0, 2, 0, 0], boxes[0, 0, 0, 1], boxes[0, 3, 0, 2] = -1, np.nan, np.inf
    assert decode(scores, boxes, 0.1).boxes.tolist() == [[3, 0, 4, 1]]


def test_decode_refuses_maps_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="B K h w"):
        decode(np.zeros((1, 1, 2, 2)), np.zeros((1, 4, 2, 3)), 0.5)
