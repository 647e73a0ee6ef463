"""Rasters: which bands, which values, which pixels count, and what is said about files that cannot be read."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from fakes.discs import NORTH_UP, UTM, write
from vitapps.datasets.formats.raster import open_raster
from vitapps.datasets.formats.raster_range import choose_range
from vitapps.errors import UnreadableInputError, UsageError

SIZE = (40, 60)
WHOLE = (0, 0, 60, 40)


def noise(bands: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(1, 250, (bands, *SIZE)).astype(dtype)


def read(path: Path, bands: tuple[int, ...] = ()) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    with open_raster(path, bands) as raster:
        raster.value_range = choose_range(raster)
        return raster.read(WHOLE)


def test_rgb_comes_back_as_it_is(tmp_path: Path) -> None:
    image = noise(3)
    rgb, valid = read(write(tmp_path / "a.tif", image))
    assert np.array_equal(rgb, image)
    assert valid.all()


def test_a_window_is_the_part(tmp_path: Path) -> None:
    image = noise(3)
    with open_raster(write(tmp_path / "a.tif", image, tiled=True, blockxsize=16, blockysize=16)) as raster:
        assert np.array_equal(raster.read((5, 7, 33, 20))[0], image[:, 7:20, 5:33])


@pytest.mark.parametrize(
    ("describe", "expected"),
    [
        ({"colours": (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined)}, (3, 2, 1)),
        ({"names": ("B02 (490 nm)", "B03", "B04", "B08")}, (3, 2, 1)),
        ({"names": ("Blue", "green", "Red", "NIR")}, (3, 2, 1)),
        ({"nm": ("490", "560", "665", "842")}, (3, 2, 1)),
        ({"nm": ("0.842", "0.665", "0.560", "0.490")}, (2, 3, 4)),
        ({"nm": ("842", "1600", "2200", "490")}, (1, 2, 3)),
    ],
)
def test_bands_by_what_the_file_says(tmp_path: Path, describe: dict[str, Any], expected: tuple[int, ...]) -> None:
    path = write(tmp_path / "a.tif", noise(4, "uint16"), photometric="MINISBLACK")
    with rasterio.open(path, "r+") as sink:
        if "colours" in describe:
            sink.colorinterp = describe["colours"]
        for index in range(4):
            if "names" in describe:
                sink.set_band_description(index + 1, describe["names"][index])
            if "nm" in describe:
                sink.update_tags(index + 1, wavelength=describe["nm"][index])
    with open_raster(path) as raster:
        assert raster.bands.indexes == expected


def test_bands_by_the_user(tmp_path: Path) -> None:
    image = noise(4)
    path = write(tmp_path / "a.tif", image, photometric="MINISBLACK")
    assert np.array_equal(read(path, (4, 3, 2))[0], image[[3, 2, 1]])
    assert np.array_equal(read(path, (2,))[0], image[[1, 1, 1]])
    for wanted in ((1, 2), (1, 2, 5), (0, 1, 2)):
        with pytest.raises(UsageError), open_raster(path, wanted):
            pass


def test_unnamed_bands_are_a_guess_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.tif", noise(5), photometric="MINISBLACK")
    with caplog.at_level(logging.WARNING, "vitapps"), open_raster(path) as raster:
        assert raster.bands.indexes == (1, 2, 3)
    assert "5 bands have no names" in caplog.text


def test_one_band_is_grey_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = noise(1)
    rgb, _ = read(write(tmp_path / "a.tif", image))
    assert np.array_equal(rgb, np.repeat(image, 3, axis=0))
    assert "band 1 is used" in caplog.text


def test_a_palette_becomes_colours(tmp_path: Path) -> None:
    image = np.zeros((1, *SIZE), np.uint8)
    image[0, :, 30:] = 2
    path = write(tmp_path / "a.tif", image)
    with rasterio.open(path, "r+") as sink:
        sink.write_colormap(1, {0: (10, 20, 30, 255), 2: (200, 100, 50, 255)})
    rgb, _ = read(path)
    assert rgb[:, 0, 0].tolist() == [10, 20, 30]
    assert rgb[:, 0, 40].tolist() == [200, 100, 50]


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_other_types_are_stretched_alike_in_all_bands(tmp_path: Path, dtype: str) -> None:
    ramp = np.broadcast_to(np.linspace(0, 100, 60), (3, *SIZE)).copy()
    ramp[2] /= 2  # blue is half as bright and must stay so
    rgb, valid = read(write(tmp_path / "a.tif", ramp.astype(dtype)))
    assert valid.all()
    assert rgb.min() == 0
    assert rgb.max() == 255
    assert (np.diff(rgb[0, 0].astype(int)) >= 0).all()
    assert abs(int(rgb[2, 0, -1]) - 128) < 6


def test_the_range_of_the_user_wins(tmp_path: Path) -> None:
    with open_raster(write(tmp_path / "a.tif", np.full((3, *SIZE), 500, np.uint16))) as raster:
        raster.value_range = choose_range(raster, (0, 1000))
        assert (raster.read(WHOLE)[0] == 128).all()
        for wanted in ((5.0, 5.0), (2.0, 1.0), (float("nan"), 1.0)):
            with pytest.raises(UsageError):
                choose_range(raster, wanted)


def test_nodata_and_nan_do_not_count(tmp_path: Path) -> None:
    image = noise(3, "float32")
    image[:, :10] = -9999
    image[1, 20, 20] = np.nan
    image[0, 25, 25] = np.inf
    rgb, valid = read(write(tmp_path / "a.tif", image, nodata=-9999))
    expected = np.ones(SIZE, bool)
    expected[:10] = expected[20, 20] = expected[25, 25] = False
    assert np.array_equal(valid, expected)
    assert rgb[:, 10:].std() > 60  # the stretch has not seen -9999


def test_white_is_not_nodata_unless_all_bands_say_so(tmp_path: Path) -> None:
    image = noise(3)
    image[0, 5, 5] = 255
    image[:, 6, 6] = 255
    _, valid = read(write(tmp_path / "a.tif", image, nodata=255))
    assert valid[5, 5]
    assert not valid[6, 6]
    assert valid.sum() == valid.size - 1


def test_nodata_that_the_type_cannot_hold_is_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "a.vrt"
    write(tmp_path / "a.tif", np.full((1, *SIZE), 241, np.uint8))  # -9999 wraps round to 241
    path.write_text(
        '<VRTDataset rasterXSize="60" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1">'
        '<NoDataValue>-9999</NoDataValue><SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    assert read(path)[1].all()


def test_alpha_does_not_count_as_a_band(tmp_path: Path) -> None:
    image = noise(4)
    image[3] = 255
    image[3, :, :20] = 0
    rgb, valid = read(write(tmp_path / "a.tif", image, photometric="RGB", alpha="YES"))
    assert np.array_equal(rgb, image[:3])
    assert valid[:, 20:].all()
    assert not valid[:, :20].any()


def test_a_mask_band_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(3))
    mask = np.full(SIZE, 255, np.uint8)
    mask[:15] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as sink:
        sink.write_mask(mask)
    assert np.array_equal(read(path)[1], mask > 0)


def test_no_valid_pixel_is_an_error_when_there_is_nothing_to_stretch(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.full((3, *SIZE), np.nan, np.float32))
    with pytest.raises(UnreadableInputError, match="no valid pixel"):
        read(path)


def test_valid_pixels_are_found_wherever_they_are(tmp_path: Path) -> None:
    image = np.zeros((1, 900, 1000), np.uint16)
    image[0, 200:203, 131] = 1000, 2000, 3000  # no sampled patch sees them
    with open_raster(write(tmp_path / "a.tif", image, nodata=0)) as raster:
        low, high = choose_range(raster)
    assert 1000 <= low < high <= 3000


def test_a_cut_file_is_found_out_where_it_is_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(3), compress="deflate", blockysize=8)
    path.write_bytes(path.read_bytes()[:-3000])
    with open_raster(path) as raster:
        raster.read((0, 0, 60, 8))
        with pytest.raises(UnreadableInputError, match="rows 32 to 40"):
            raster.read((0, 32, 60, 40))


@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_a_cut_picture_is_found_out(tmp_path: Path, driver: str) -> None:
    path = write(tmp_path / "a", noise(3), driver=driver, crs=None, transform=None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UnreadableInputError):
        read(path)


def test_numbers_without_a_picture_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((1, *SIZE), np.complex64))
    with pytest.raises(UnreadableInputError, match="complex64"), open_raster(path):
        pass


def test_ground_control_points_are_no_grid(tmp_path: Path) -> None:
    points = [rasterio.control.GroundControlPoint(row, col, col, -row) for row, col in ((0, 0), (0, 60), (40, 0))]
    path = write(tmp_path / "a.tif", noise(3), transform=None, gcps=points)
    with pytest.raises(UnreadableInputError, match="3 ground control points") as caught, open_raster(path):
        pass
    assert "gdalwarp" in caught.value.hint


def test_no_file_is_left_beside_the_raster(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise(3, "float32"))
    read(path)
    assert [item.name for item in tmp_path.iterdir()] == ["a.tif"]


def test_meta_leads_back(tmp_path: Path) -> None:
    with open_raster(write(tmp_path / "a.tif", noise(3))) as raster:
        meta = raster.meta
    assert (meta.width, meta.height, meta.count, meta.dtype, meta.driver) == (60, 40, 3, "uint8", "GTiff")
    assert meta.transform == tuple(NORTH_UP)[:6]
    assert rasterio.CRS.from_wkt(meta.crs) == rasterio.CRS.from_string(UTM)
