"""The margin search crosses what can be crossed, within its epsilon, and says so where nothing can."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.margin import STEPS, find_margin

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
