"""Candidates confirmed by colour: what agreement lifts, and that no weight changes nothing."""

import numpy as np

from vitapps.pipelines.rs.confirm import basins, candidates
from vitapps.pipelines.windows.boxes import decode

CROWN = (20, 24, 44, 48)


def _window() -> np.ndarray:
    """1 3 64 64: brown ground with one green crown."""
    y, x = np.mgrid[:64, :64]
    window = np.empty((1, 3, 64, 64), np.uint8)
    window[:] = np.array([150, 120, 90], np.uint8)[:, None, None]
    window[0][:, (x - 32) ** 2 + (y - 36) ** 2 <= 144] = np.array([60, 140, 50], np.uint8)[:, None]
    return window


def _maps() -> tuple[np.ndarray, np.ndarray]:
    """Two candidates of equal score: the crown, and a box of bare ground."""
    scores, boxes = np.zeros((1, 1, 16, 16), np.float32), np.zeros((1, 4, 16, 16), np.float32)
    for row, column, box in ((9, 8, CROWN), (2, 2, (2, 2, 16, 16))):
        scores[0, 0, row, column], boxes[0, :, row, column] = 0.4, box
    return scores, boxes


def test_basins_are_in_pixels_of_the_window():
    (box,) = basins(_window()[0], 0.1)
    assert np.abs(box - np.array(CROWN)).max() <= 4


def test_agreement_ranks_the_crown_first_and_scores_stay_in_0_to_1():
    found = candidates(_maps(), _window(), np.array([0.1]), weight=1.0, gsd=0.1)
    assert tuple(found.boxes[0]) == CROWN
    assert 0.5 < found.scores[0] <= 1
    assert found.scores[1] < found.scores[0] - 0.2


def test_where_colour_agrees_with_nothing_scores_stay():
    scores, boxes = _maps()
    scores[0, 0, 9, 8] = 0  # only the box on bare ground is left
    found = candidates((scores, boxes), _window(), np.array([0.1]), weight=1.0, gsd=0.1)
    assert found.scores.tolist() == [np.float32(0.4)]


def test_the_floor_holds_for_the_confirmed_score():
    found = candidates(_maps(), _window(), np.array([0.5]), weight=1.0, gsd=0.1)
    assert [tuple(box) for box in found.boxes] == [CROWN]  # 0.4 alone would have been below the floor


def test_no_weight_is_the_plain_detector():
    plain, same = (
        decode(*_maps(), np.array([0.1])),
        candidates(_maps(), _window(), np.array([0.1]), weight=0.0, gsd=0.1),
    )
    for name in ("boxes", "scores", "labels", "images", "cells"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(same, name))
