import numpy as np
import pytest

from vitapps.pipelines.rs.average_precision import average_precision
from vitapps.pipelines.rs.matching import NEON_IOU, best_threshold
from vitapps.pipelines.windows.box_counts import Counts, FoundBoxes, count
from vitapps.pipelines.windows.boxes import match

DRAWN = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30.0]])


def _tile(boxes, scores, drawn=DRAWN):
    return FoundBoxes(boxes=np.asarray(boxes, float).reshape(-1, 4), scores=np.asarray(scores, float), drawn=drawn)


def test_counts_by_hand():
    counts = Counts(hits=3, found=4, drawn=6)
    assert counts.precision == 0.75
    assert counts.recall == 0.5
    assert counts.f1 == pytest.approx(0.6)
    assert Counts(hits=0, found=0, drawn=0).f1 == 0


def test_one_drawn_box_is_hit_once_by_the_best_score():
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10.0]])
    np.testing.assert_array_equal(match(boxes, np.array([0.9, 0.5]), DRAWN, NEON_IOU), [True, False])
    np.testing.assert_array_equal(match(boxes, np.array([0.5, 0.9]), DRAWN, NEON_IOU), [False, True])


def test_the_limit_is_iou_04():
    assert match(np.array([[0, 0, 4, 10.0]]), np.ones(1), DRAWN[:1], NEON_IOU).all()  # IoU 0.4
    assert not match(np.array([[0, 0, 3.9, 10.0]]), np.ones(1), DRAWN[:1], NEON_IOU).any()


def test_a_box_takes_the_next_best_free_one():
    drawn = np.array([[0, 0, 10, 10], [2, 0, 12, 10.0]])
    boxes = np.array([[0, 0, 10, 10], [0, 0, 11, 10.0]])
    assert match(boxes, np.array([0.9, 0.8]), drawn, NEON_IOU).all()


def test_pooled_counts_and_threshold():
    tiles = [_tile([*DRAWN[:2], [50, 50, 60, 60]], [0.9, 0.8, 0.3]), _tile([], [])]
    counts = count(tiles, 0.0, NEON_IOU)
    assert (counts.hits, counts.found, counts.drawn) == (2, 3, 6)
    assert count(tiles, 0.5, NEON_IOU).precision == 1
    assert 0.3 < best_threshold(tiles) <= 0.8


def test_average_precision_by_hand():
    assert average_precision([_tile(DRAWN, [0.9, 0.8, 0.7])]) == pytest.approx((1, 1))
    assert average_precision([_tile([], [])]) == (0, 0)
    # hit, miss, hit, miss-by-recall: 101-point interpolation gives precision 1 to recall 1/3, 2/3 to recall 2/3
    boxes = [DRAWN[0], [50, 50, 60, 60], DRAWN[1]]
    _, ap50 = average_precision([_tile(boxes, [0.9, 0.8, 0.7])])
    assert ap50 == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-6)
