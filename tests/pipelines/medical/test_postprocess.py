"""Islands, holes and specks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.medical.postprocess import drop_specks, keep_main_component


def one_hot(labels: NDArray[np.int64], classes: int = 3) -> NDArray[np.float32]:
    shares = np.full((classes, *labels.shape), 0.1, np.float32)
    np.put_along_axis(shares, labels[None], 0.8, 0)
    return shares


def test_islands_go_and_holes_are_filled_by_the_next_best() -> None:
    labels = np.zeros((20, 20, 20), np.int64)
    labels[3:13, 3:13, 3:13] = 1
    labels[7, 7, 7] = 0
    labels[17, 17, 16:19] = 2
    scores = one_hot(labels)
    scores[2, 7, 7, 7] = 0.15
    keep_main_component(scores)
    found = scores.argmax(0)
    assert found[7, 7, 7] == 2
    assert not found[15:].any()
    labels[15:], labels[7, 7, 7] = 0, 2
    np.testing.assert_array_equal(found, labels)


def test_scores_at_the_border_of_the_main_part_are_left_alone() -> None:
    labels = np.zeros((12, 12, 12), np.int64)
    labels[3:9, 3:9, 3:9] = 1
    scores = one_hot(labels)
    before = scores.copy()
    keep_main_component(scores)
    np.testing.assert_array_equal(scores, before)


def test_specks_fall_to_the_structure_around_them() -> None:
    labels = np.zeros((20, 20, 20), np.int64)
    labels[2:10, 2:18, 2:18], labels[10:18, 2:18, 2:18] = 1, 2
    labels[14, 14, 14] = 1
    scores = one_hot(labels)
    scores[2, 14, 14, 14] = 0.12
    drop_specks(scores)
    labels[14, 14, 14] = 2
    np.testing.assert_array_equal(scores.argmax(0), labels)


def test_an_empty_foreground() -> None:
    scores = one_hot(np.zeros((4, 4, 4), np.int64))
    keep_main_component(scores)
    drop_specks(scores)
    assert not scores.argmax(0).any()
