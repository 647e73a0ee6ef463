"""Pixels on the ground: transforms of every kind, lengths in metres whatever the unit of the CRS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.transform import from_origin

from fakes.discs import write
from vitapps.datasets.formats.georef import pixel_size, sides_in_metres, to_crs, to_lonlat, to_pixels
from vitapps.datasets.formats.raster import RasterMeta, open_raster
from vitapps.errors import UnreadableInputError

TURNED = Affine.translation(320000, 4096000) @ Affine.rotation(30) @ Affine.scale(0.1, -0.2)
# the ground size of a pixel, worked out by hand: degree x radius of curvature, foot, cos(latitude)
PLACES = {
    "metres": ("EPSG:32611", from_origin(500000, 4096000, 0.1, 0.1), (0.1 / 0.9996, 0.1 / 0.9996)),
    "south-up": ("EPSG:32611", Affine(0.1, 0, 500000, 0, 0.1, 4096000), (0.1 / 0.9996, 0.1 / 0.9996)),
    "turned": ("EPSG:32611", TURNED, (0.1, 0.2)),
    "degrees": ("EPSG:4326", from_origin(10.0, 0.0, 1e-6, 1e-6), (0.111319491, 0.110574276)),
    "degrees in the north": ("EPSG:4326", from_origin(10.0, 60.0, 1e-6, 1e-6), (0.0558, 0.1114)),
    "US feet": ("EPSG:2229", from_origin(6500000, 1900000, 0.5, 0.5), (0.1524, 0.1524)),
    "Web Mercator": ("EPSG:3857", from_origin(0, 8399737.9, 0.3, 0.3), (0.15038, 0.15012)),
    "site grid in feet": ('LOCAL_CS["site",UNIT["foot",0.3048]]', from_origin(0, 0, 1, 1), (0.3048, 0.3048)),
}


def meta_of(tmp_path: Path, crs: str | None, transform: Affine | None) -> RasterMeta:
    path = write(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint8), crs=crs, transform=transform)
    with open_raster(path) as raster:
        return raster.meta


@pytest.mark.parametrize("place", PLACES)
def test_pixel_size_is_metres_on_the_ground(tmp_path: Path, place: str) -> None:
    crs, transform, expected = PLACES[place]
    assert pixel_size(meta_of(tmp_path, crs, transform)) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("place", PLACES)
def test_sides_are_pixels_times_their_size(tmp_path: Path, place: str) -> None:
    crs, transform, expected = PLACES[place]
    sides = sides_in_metres(meta_of(tmp_path, crs, transform), [[2, 3, 12, 7], [0, 0, 30, 20]])
    assert sides == pytest.approx(np.array([[10, 4], [30, 20]]) * expected, rel=2e-3)


def test_without_a_crs_there_are_no_metres(tmp_path: Path) -> None:
    meta = meta_of(tmp_path, None, from_origin(0, 10, 0.1, 0.1))
    assert pixel_size(meta) is None
    assert meta.georeferenced
    assert not meta_of(tmp_path, None, None).georeferenced


@pytest.mark.parametrize("place", PLACES)
def test_there_and_back(tmp_path: Path, place: str) -> None:
    meta = meta_of(tmp_path, *PLACES[place][:2])
    points = np.random.default_rng(0).uniform(-5, 40, (7, 3, 2))
    assert to_pixels(meta, to_crs(meta, points)) == pytest.approx(points, abs=1e-6)


def test_to_crs_is_the_affine_of_the_file(tmp_path: Path) -> None:
    meta = meta_of(tmp_path, "EPSG:32611", TURNED)
    assert to_crs(meta, [[3.5, 4.0]])[0] == pytest.approx(TURNED * (3.5, 4.0))


def test_longitude_comes_first() -> None:
    from pyproj import CRS

    lon, lat = to_lonlat(CRS.from_epsg(32611).to_wkt(), [[500000.0, 4096000.0]])[0]
    assert lon == pytest.approx(-117.0)
    assert lat == pytest.approx(37.01, abs=0.01)
    lon, lat = to_lonlat(CRS.from_epsg(4326).to_wkt(), [[-117.0, 37.0]])[0]
    assert (lon, lat) == pytest.approx((-117.0, 37.0))


def test_a_grid_without_a_place_has_no_longitude() -> None:
    with pytest.raises(UnreadableInputError, match=r"a\.tif"):
        to_lonlat('LOCAL_CS["site",UNIT["metre",1]]', [[1.0, 2.0]], "a.tif")
