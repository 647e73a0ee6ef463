"""J and F against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.pipelines.video.davis_scores import (
    average,
    boundary_accuracy,
    outline,
    region_similarity,
    score_object,
    summarise,
)

SIZE = (100, 100)  # its diagonal makes a boundary tolerance of 2 pixels


def square(x: int, y: int, side: int = 20) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_region_is_intersection_over_union() -> None:
    assert region_similarity(square(10, 10), square(20, 10)) == pytest.approx(200 / 600)
    assert region_similarity(square(10, 10), square(60, 60)) == 0
    assert region_similarity(np.zeros(SIZE, bool), np.zeros(SIZE, bool)) == 1


def test_outline_is_a_line_above_and_left_of_the_change() -> None:
    line = outline(square(10, 10, 4))
    ys, xs = np.nonzero(line)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (9, 13, 9, 13)
    assert not line[11, 11]
    touching = np.zeros((4, 4), bool)
    touching[:, 2:] = True  # no line along the picture's own edge
    assert outline(touching).sum() == 4


@pytest.mark.parametrize(("shift", "wanted"), [(0, 1.0), (2, 1.0), (50, 0.0)])
def test_boundary_within_tolerance_is_full_agreement(shift: int, wanted: float) -> None:
    assert boundary_accuracy(square(10 + shift, 10), square(10, 10)) == pytest.approx(wanted)


def test_boundary_of_three_pixels_loses_only_the_far_sides() -> None:
    score = boundary_accuracy(square(13, 10), square(10, 10))
    assert 0.4 < score < 0.7  # top and bottom agree but for their ends, left and right do not


def test_boundary_where_one_side_is_empty() -> None:
    nothing = np.zeros(SIZE, bool)
    assert boundary_accuracy(nothing, nothing) == 1
    assert boundary_accuracy(nothing, square(10, 10)) == 0
    assert boundary_accuracy(square(10, 10), nothing) == 0


def test_summary_of_a_sequence_that_gets_worse() -> None:
    found = summarise([1.0, 1.0, 0.8, 0.6, 0.6, 0.4, 0.2, 0.0])
    # quarters share their end frames: 0..2 and 5..7
    assert found.mean == pytest.approx(0.575)
    assert found.recall == pytest.approx(5 / 8)
    assert found.decay == pytest.approx((2.8 / 3) - 0.2)
    with pytest.raises(ValueError, match="no frame"):
        summarise([])


def test_first_and_last_frame_are_not_scored() -> None:
    wrong, right = square(60, 60), square(10, 10)
    scored = score_object("one", [wrong, right, right, wrong], [right] * 4)
    assert scored.mean == 1
    both = average("both", [scored, score_object("two", [wrong] * 4, [right] * 4)])
    assert (both.region.mean, both.boundary.recall, both.mean) == (0.5, 0.5, 0.5)
    assert both.row()["J&F"] == 0.5
