"""Windows of a frame: the halves they are taken from change neither place nor brightness."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.video.window import Look, crop


def slope(height: int, width: int) -> np.ndarray:
    """H W 3 whose red is the column and whose green is the row of a pixel's middle, in shares of 255 pixels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 7)], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("extent", [40.0, 77.0, 150.0, 233.0])
def test_a_window_of_any_size_lies_where_it_is_asked_for(extent: float) -> None:
    frame, side, middle = slope(241, 255), 32, np.array([128.0, 120.0])
    found = crop(frame, middle, extent, side).astype(float)
    wanted = middle[:, None] - extent / 2 + (np.arange(side) + 0.5) * extent / side - 0.5  # 2 S: columns, rows
    inner = slice(2, -2)
    assert np.abs(found[:, inner, 0] - wanted[0][None, inner]).max() < 1.6
    assert np.abs(found[inner, :, 1] - wanted[1][inner, None]).max() < 1.6


def test_halves_are_made_once_and_only_when_wanted() -> None:
    look = Look(slope(101, 203))
    assert look.level(1.0)[0] is look.frame
    half, factor = look.level(0.4)
    assert factor == 2 and half.shape == (50, 101, 3) and look.level(0.4)[0] is half
    assert Look.at(look) is look
    one = crop(look, np.array([100.0, 50.0]), 90.0, 30)
    assert (one == crop(look.frame, np.array([100.0, 50.0]), 90.0, 30)).all()


def test_outside_the_frame_its_border_goes_on() -> None:
    found = crop(slope(60, 80), np.array([-500.0, 30.0]), 64.0, 16)
    assert (found[..., 0] == found[0, 0, 0]).all() and (found[..., 2] == 7).all()
    assert crop(slope(1, 1), np.array([0.0, 0.0]), 500.0, 8).shape == (8, 8, 3)
