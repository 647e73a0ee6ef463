"""The margin search crosses what can be crossed, within its epsilon, and says so where nothing can."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.margin import PATCHES, STEPS, find_margin

GREY = np.full((24, 24, 3), 100, np.uint8)


def brightness_of_a_corner(pixels: NDArray[np.uint8]) -> float:
    assert np.abs(pixels.astype(int) - 100).max() <= max(STEPS)
    return float(pixels[:8, :8].mean())


def test_the_smallest_step_that_crosses() -> None:
    found = find_margin(brightness_of_a_corner, GREY, 102.9, queries=300)
    assert found.start == 100 and found.smallest == 4
    assert found.best[1] <= 101 and found.best[2] <= 102 and found.best[4] >= 102.9
    down = find_margin(brightness_of_a_corner, GREY, 99.9, queries=300)
    assert down.smallest == 1 and down.best[1] < 99.9


def test_what_cannot_be_crossed() -> None:
    found = find_margin(lambda pixels: 0.25, GREY, 0.5, queries=5)
    assert found.smallest is None and found.queries == 1 + 5 * len(STEPS)
    assert set(found.best) == set(STEPS)


def test_a_sticker_changes_its_square_alone() -> None:
    """The mean of 24 x 24 pixels of 100 rises to 101.5 with a white square of one percent, to 107.75 with five."""

    def mean(pixels: NDArray[np.uint8]) -> float:
        rows, columns = np.nonzero((pixels != 100).any(axis=2))
        if len(rows):
            assert max(np.ptp(rows), np.ptp(columns)) < np.sqrt(0.1 * GREY[..., 0].size) + 1
        return float(pixels.mean())

    found = find_margin(mean, GREY, 104.0, queries=300, patches=True)
    assert found.smallest == 5 and set(found.best) == {1, 2, 5}
    assert found.best[1] <= 101.6 and found.best[5] >= 104
    nothing = find_margin(lambda pixels: 0.25, GREY, 0.5, queries=5, patches=True)
    assert nothing.smallest is None and set(nothing.best) == set(PATCHES)
