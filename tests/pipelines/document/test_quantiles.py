"""Quantiles of short rows and of shades are numpy's own, to the last bit; a slope is that of least squares."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.document.components import grain
from vitapps.pipelines.document.found_line import slope_through
from vitapps.pipelines.document.quantiles import median_of, percentile_of, shades_at


@pytest.mark.parametrize("size", [1, 2, 3, 8, 41])
@pytest.mark.parametrize("kind", [np.int32, np.float64])
def test_short_rows(size: int, kind: type[np.generic]) -> None:
    values = (20 * np.random.default_rng(size).normal(size=size)).astype(kind)
    assert median_of(values) == np.median(values)
    for share in (0, 2, 15, 35, 77.7, 100):
        assert percentile_of(values, share) == np.percentile(values, share)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (7, 30), (40, 301)])
@pytest.mark.parametrize("steps", [1, 100, 255])
def test_shades(shape: tuple[int, int], steps: int) -> None:
    grey = (np.random.default_rng(steps).integers(0, 256, shape) // steps * steps).astype(np.uint8)
    shares = (1, 2, 50, 98, 99)
    assert shades_at(grey, shares) == np.percentile(grey, shares).tolist()
    assert shades_at(grey[:, ::-1], shares) == shades_at(grey, shares)


def test_the_grain_is_the_median_of_second_differences() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (31, 40), dtype=np.uint8)
    rows = grey[:30:2].astype(float)
    second = np.abs(2 * rows[:, 1:-1] - rows[:, :-2] - rows[:, 2:])
    assert grain(grey) == np.median(second) / (0.6745 * 6**0.5)


def test_slopes() -> None:
    x = np.random.default_rng(1).uniform(0, 900, 30)
    assert slope_through(x, 0.03 * x + 5) == pytest.approx(0.03)
    y = np.random.default_rng(2).normal(size=30)
    assert slope_through(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])
