"""The canopy generator: repeatable, consistent with its own boxes, and varied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from vitapps.datasets.synth.canopy import BIOMES, Biome, CanopyConfig, fractal_noise, make_tile, write_sample

SMALL = CanopyConfig(size=(160, 200))


def test_a_seed_is_a_tile() -> None:
    first, again, other = make_tile(3, SMALL), make_tile(3, SMALL), make_tile(4, SMALL)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("biome", BIOMES)
def test_boxes_hold_what_is_seen_of_their_crowns(biome: Biome) -> None:
    tile = make_tile(11, CanopyConfig(size=(160, 200), biome=biome))
    assert tile.biome == biome
    assert tile.image.shape == (3, 160, 200)
    assert len(tile.boxes) == tile.crowns.max() > 0
    assert (tile.boxes[:, :2] >= 0).all()
    assert (tile.boxes[:, 2:] <= (200, 160)).all()
    for number, (x0, y0, x1, y1) in enumerate(tile.boxes, 1):
        rows, columns = np.nonzero(tile.crowns == number)
        assert x0 <= columns.min() <= columns.max() < x1
        assert y0 <= rows.min() <= rows.max() < y1
        assert len(rows) > 0.1 * (x1 - x0) * (y1 - y0)


def test_cover_is_followed() -> None:
    open_land = make_tile(5, CanopyConfig(size=(300, 300), biome="park", cover=0.05))
    closed = make_tile(5, CanopyConfig(size=(300, 300), biome="broadleaf", cover=1.0))
    assert (open_land.crowns > 0).mean() < 0.2
    assert (closed.crowns > 0).mean() > 0.5


def test_pixels_follow_the_ground_size() -> None:
    coarse = make_tile(6, CanopyConfig(size=(100, 100), gsd=0.4, biome="park", cover=0.2))
    fine = make_tile(6, CanopyConfig(size=(400, 400), gsd=0.1, biome="park", cover=0.2))
    sides = [np.median(tile.boxes[:, 2] - tile.boxes[:, 0]) for tile in (coarse, fine)]
    assert 2.5 < sides[1] / sides[0] < 5.5


def test_noise_has_the_asked_spectrum() -> None:
    field = fractal_noise(np.random.default_rng(0), (128, 128), 1.5)
    power = np.abs(np.fft.fft2(field)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    low, high = power[(radius > 0.02) & (radius < 0.04)].mean(), power[(radius > 0.2) & (radius < 0.4)].mean()
    assert field.std() == pytest.approx(1, abs=1e-3)
    assert low / high == pytest.approx(10**3, rel=0.7)  # amplitude f^-1.5 is power f^-3 over a decade


def test_the_sample_is_a_raster_with_a_place(tmp_path: Path) -> None:
    tile = write_sample(tmp_path / "tile.tif", size=(120, 150))
    with rasterio.open(tmp_path / "tile.tif") as raster:
        assert np.array_equal(raster.read(), tile.image)
        assert raster.crs.to_epsg() == 32611
        assert raster.res == (0.1, 0.1)
