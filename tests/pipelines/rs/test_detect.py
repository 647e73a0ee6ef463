"""Detection on rasters whose answer is known: every grid, type and part of a raster, each object once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin

from fakes.discs import NORTH_UP, boxes_of, detector, draw, predict, scattered, write
from vitapps.errors import OutputError, UnreadableInputError, UsageError
from vitapps.pipelines.rs.detect import DetectResult, DetectSettings, detect
from vitapps.pipelines.rs.detect_many import _outputs

Floats = NDArray[np.float64]
SIZE = (230, 310)
DISCS = scattered(SIZE, 40)
PIXELS = ("x0_px", "y0_px", "x1_px", "y1_px")


def run(path: Path, name: str = "out.gpkg", overwrite: bool = False, spec: Any = None, **settings: Any) -> DetectResult:
    return detect(path, path.parent / name, detector(overwrite=overwrite, **(spec or {})), DetectSettings(**settings))


def rows(path: Path) -> tuple[dict[str, Any], NDArray[Any]]:
    meta, _, geometry, values = pyogrio.raw.read(path)
    return dict(zip(meta["fields"], values, strict=True)), shapely.from_wkb(geometry)


def boxes_in(path: Path) -> Floats:
    """Pixel boxes n 4 of a GeoPackage, sorted by x0, y0."""
    columns, _ = rows(path)
    boxes = np.stack([columns[name] for name in PIXELS], axis=1)
    return np.asarray(boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))])


def assert_found(found: Floats, truth: Floats, tolerance: float = 1.01) -> None:
    assert len(found) == len(truth)
    distance = np.abs(found[:, None] - truth[None]).max(axis=2)  # n n
    assert not len(found) or distance.min(axis=1).max() <= tolerance
    assert not len(found) or distance.min(axis=0).max() <= tolerance


GRIDS = {
    "north-up": ("EPSG:32611", NORTH_UP),
    "south-up": ("EPSG:32611", Affine(0.1, 0, 320000, 0, 0.1, 4096000)),
    "turned": ("EPSG:32611", Affine.translation(320000, 4096000) @ Affine.rotation(25) @ Affine.scale(0.1, -0.1)),
    "sheared": ("EPSG:32611", Affine.translation(320000, 4096000) @ Affine.shear(5, 0) @ Affine.scale(0.1, -0.1)),
    "degrees": ("EPSG:4326", from_origin(10.0, 0.0, 0.1 / 111319.49, 0.1 / 110574.28)),
    "US feet": ("EPSG:2229", from_origin(6500000, 1900000, 0.1 / 0.3048006, 0.1 / 0.3048006)),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_boxes_come_back_in_the_grid_of_the_raster(tmp_path: Path, grid: str) -> None:
    crs, transform = GRIDS[grid]
    result = run(write(tmp_path / "a.tif", draw(SIZE, DISCS), crs=crs, transform=transform))
    assert_found(boxes_in(result.out), boxes_of(DISCS))
    columns, shapes = rows(result.out)
    for index in (0, 7):
        x0, y0, x1, y1 = (columns[name][index] for name in PIXELS)
        expected = shapely.Polygon([transform @ point for point in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))])
        assert shapely.symmetric_difference(expected, shapes[index]).area < 1e-6 * expected.area
        assert columns["width_m"][index] == pytest.approx((x1 - x0) * 0.1, rel=5e-3)
    assert result.area_ha == pytest.approx(SIZE[0] * SIZE[1] * 1e-6, rel=5e-3)
    assert result.density_per_ha == pytest.approx(len(DISCS) / result.area_ha, rel=1e-2)


@pytest.mark.parametrize("window", [48, 64, 100, 256, 400])
@pytest.mark.parametrize("side", [120, 2048])
def test_the_window_grid_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, side: int) -> None:
    monkeypatch.setattr("vitapps.pipelines.rs.scan._BLOCK_SIDE", side)
    result = run(write(tmp_path / "a.tif", draw(SIZE, DISCS)), spec={"window": window, "overlap": 0.55})
    assert_found(boxes_in(result.out), boxes_of(DISCS))


@pytest.mark.parametrize("seed", range(8))
def test_an_object_on_a_seam_is_found_once(tmp_path: Path, seed: int) -> None:
    size = (150 + 7 * seed, 210 - 9 * seed)
    discs = scattered(size, 25, seed)
    assert_found(boxes_in(run(write(tmp_path / "a.tif", draw(size, discs))).out), boxes_of(discs))


def test_an_object_larger_than_the_overlap_is_not_lost(tmp_path: Path) -> None:
    result = run(write(tmp_path / "a.tif", draw((200, 200), [(100, 100, 30)])), spec={"overlap": 0.3})
    assert result.count >= 1


@pytest.mark.parametrize("pixel", [0.05, 0.2, 0.33])
def test_the_model_sees_its_own_pixel_size(tmp_path: Path, pixel: float) -> None:
    place = from_origin(320000, 4096000, pixel, pixel)
    path = write(tmp_path / "a.tif", draw(SIZE, DISCS), transform=place)
    seen = []

    def spy(windows: NDArray[np.float32]) -> Any:
        maps = predict(windows)
        boxes = maps[1][0][:, maps[0][0, 0] > 0]
        seen.extend((boxes[2] - boxes[0])[(boxes.min(axis=0) > 0) & (boxes.max(axis=0) < 256)].tolist())
        return maps

    result = detect(path, tmp_path / "out.gpkg", replace(detector(window=256), predict=spy))
    assert_found(boxes_in(result.out), boxes_of(DISCS), tolerance=1.5 * max(1, 0.1 / pixel))
    radius = np.mean([r for _, _, r in DISCS])
    assert np.mean(seen) == pytest.approx(2 * radius * pixel / 0.1, rel=0.35)
    again = run(path, "native.gpkg", gsd="native")
    assert_found(boxes_in(again.out), boxes_of(DISCS))
    assert again.area_ha == pytest.approx(result.area_ha, rel=0.01)


def test_the_pixel_size_can_be_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", draw(SIZE, DISCS), crs=None, transform=None)
    result = run(path, gsd=0.2)
    assert result.warnings == []
    assert result.pixel_size_m == (0.2, 0.2)
    columns, shapes = rows(result.out)
    assert columns["width_m"][0] == pytest.approx(0.2 * (columns["x1_px"][0] - columns["x0_px"][0]), abs=0.01)
    assert shapes[0].bounds[3] == -columns["y0_px"][0]
    assumed = run(path, "assumed.gpkg")
    assert "0.1 m is assumed" in assumed.warnings[0]
    assert "0.1 m is assumed" in json.loads(assumed.record.read_text())["warnings"][0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_any_type(tmp_path: Path, dtype: str) -> None:
    image = draw(SIZE, DISCS).astype(dtype) * (1 if dtype == "uint8" else np.dtype(dtype).type(3))
    assert_found(boxes_in(run(write(tmp_path / "a.tif", image)).out), boxes_of(DISCS))


def test_bands_in_another_order(tmp_path: Path) -> None:
    image = draw(SIZE, DISCS)[[1, 2, 0, 0]]
    path = write(tmp_path / "a.tif", image, photometric="MINISBLACK")
    assert run(path, "wrong.gpkg").count == 0
    assert run(path, bands=(3, 1, 2)).count == len(DISCS)


@pytest.mark.parametrize("how", ["nodata", "alpha", "nan"])
def test_nothing_is_found_on_nodata(tmp_path: Path, how: str) -> None:
    image = draw(SIZE, DISCS)
    half = SIZE[1] // 2
    profile: dict[str, Any] = {}
    if how == "nodata":
        image[:, :, :half] = 249
        profile = {"nodata": 249}
    elif how == "alpha":
        image = np.concatenate([image, np.full((1, *SIZE), 255, np.uint8)])
        image[3, :, :half] = 0
        profile = {"photometric": "RGB", "alpha": "YES"}
    else:
        image = image.astype(np.float32)
        image[:, :, :half] = np.nan
    result = run(write(tmp_path / "a.tif", image, **profile))
    truth = boxes_of(DISCS)
    whole = truth[truth[:, 0] >= half]
    found = boxes_in(result.out)
    assert (found[:, 2] > half).all()
    assert len(whole) <= len(found) <= (truth[:, 2] > half).sum()
    assert result.area_ha == pytest.approx(SIZE[0] * (SIZE[1] - half) * 1e-6, rel=5e-3)


def test_empty_windows_are_not_computed(tmp_path: Path) -> None:
    image = np.zeros((3, 600, 600), np.uint8)
    image[:, 500:, 500:] = draw((100, 100), [(50, 50, 10)])
    seen = []

    def count(windows: NDArray[np.float32]) -> Any:
        seen.append(len(windows))
        return predict(windows)

    path = write(tmp_path / "a.tif", image, nodata=0)
    result = detect(path, tmp_path / "out.gpkg", replace(detector(), predict=count))
    assert result.count == 1
    assert sum(seen) <= 25


def test_a_raster_of_nodata_has_no_boxes_and_says_so(tmp_path: Path) -> None:
    result = run(write(tmp_path / "a.tif", np.zeros((3, *SIZE), np.uint8), nodata=0))
    assert (result.count, result.area_ha, result.density_per_ha, result.mean_score) == (0, 0, None, None)
    assert "no valid pixel" in result.warnings[0]


@pytest.mark.parametrize("size", [(1, 1), (20, 200), (63, 64), (64, 64), (65, 30)])
def test_tiny_rasters(tmp_path: Path, size: tuple[int, int]) -> None:
    discs = [(size[1] / 2, size[0] / 2, 6.0)] if min(size) > 14 else []
    assert_found(boxes_in(run(write(tmp_path / "a.tif", draw(size, discs))).out), boxes_of(discs))


@pytest.mark.parametrize("driver", ["PNG", "VRT", "COG", "JPEG"])
def test_other_containers(tmp_path: Path, driver: str) -> None:
    discs = scattered(SIZE, 12, seed=3) if driver == "JPEG" else DISCS  # its colours run into near neighbours
    image = draw(SIZE, discs)
    if driver == "VRT":
        write(tmp_path / "source.tif", image)
        band = '<VRTRasterBand dataType="Byte" band="{0}"><SimpleSource><SourceFilename relativeToVRT="1">source.tif'
        band += "</SourceFilename><SourceBand>{0}</SourceBand></SimpleSource></VRTRasterBand>"
        bands = "".join(band.format(index) for index in (1, 2, 3))
        path = tmp_path / "a.vrt"
        path.write_text(f'<VRTDataset rasterXSize="{SIZE[1]}" rasterYSize="{SIZE[0]}">{bands}</VRTDataset>')
    else:
        place = {} if driver == "COG" else {"crs": None, "transform": None}
        path = write(tmp_path / f"a.{driver.lower()}", image, driver=driver, **place)
    assert_found(boxes_in(run(path, min_size=0.5).out), boxes_of(discs), tolerance=2.5)


def test_a_region_holds_the_centres(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", draw(SIZE, DISCS))
    x0, y0, x1, y1 = 60, 40, 200, 150  # pixels
    region = (320000 + x0 / 10, 4096000 - y1 / 10, 320000 + x1 / 10, 4096000 - y0 / 10)
    result = run(path, region=region)
    truth = boxes_of(DISCS)
    centre = (truth[:, :2] + truth[:, 2:]) / 2
    inside = truth[((centre > (x0, y0)) & (centre < (x1, y1))).all(axis=1)]
    assert 0 < len(inside) < len(truth)
    assert_found(boxes_in(result.out), inside)
    assert result.area_ha == pytest.approx((x1 - x0) * (y1 - y0) * 1e-6, rel=5e-3)
    for wrong in ((0.0, 0.0, 1.0, 1.0), (5.0, 5.0, 1.0, 6.0), (float("nan"), 0.0, 1.0, 1.0)):
        with pytest.raises(UsageError, match="--region"):
            run(path, "wrong.gpkg", region=wrong)


def test_an_aoi_in_another_crs_holds_the_centres(tmp_path: Path) -> None:
    from pyproj import Transformer

    path = write(tmp_path / "a.tif", draw(SIZE, DISCS))
    corner = np.array([[50, 20], [290, 60], [100, 220]])  # a triangle, pixels
    ground = np.stack([NORTH_UP @ point for point in corner])
    change = Transformer.from_crs("EPSG:32611", "EPSG:4326", always_xy=True)
    ring = np.stack(change.transform(*ground.T), axis=1)
    aoi = tmp_path / "aoi.geojson"
    aoi.write_text(json.dumps(shapely.geometry.mapping(shapely.Polygon(ring))))
    result = run(path, aoi=aoi)
    triangle = shapely.Polygon(corner)
    truth = boxes_of(DISCS)
    centre = (truth[:, :2] + truth[:, 2:]) / 2
    assert_found(boxes_in(result.out), truth[shapely.contains_xy(triangle, centre[:, 0], centre[:, 1])])
    assert result.area_ha == pytest.approx(triangle.area * 1e-6, rel=0.01)
    aoi.write_text(json.dumps(shapely.geometry.mapping(shapely.box(1, 1, 2, 2))))
    with pytest.raises(UsageError, match="--aoi"):
        run(path, "wrong.gpkg", aoi=aoi)


def test_sizes_and_scores_select(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", draw(SIZE, DISCS))
    small = run(path, "small.gpkg", max_size=1.6).count
    large = run(path, "large.gpkg", min_size=1.6).count
    assert 0 < small < len(DISCS)
    assert small + large == pytest.approx(len(DISCS), abs=3)  # a box of just 1.6 m may count in both
    assert run(path, "sure.gpkg", min_score=0.95).count == 0
    assert run(path, "card.gpkg", spec={"thresholds": (0.95,)}).count == 0
    for wrong in ({"min_score": 1.5}, {"nms_iou": -0.1}, {"min_size": 5.0, "max_size": 2.0}):
        with pytest.raises(UsageError):
            run(path, "wrong.gpkg", **wrong)


def test_the_preview_shows_the_boxes(tmp_path: Path) -> None:
    result = run(write(tmp_path / "a.tif", draw(SIZE, DISCS)), preview=True)
    assert result.preview == tmp_path / "out.gpkg.preview.png"
    picture = np.asarray(Image.open(result.preview))
    assert picture.shape == (*SIZE, 3)
    x0, y0, _, _ = boxes_in(result.out)[0].astype(int)
    assert picture[y0, x0].tolist() == [255, 64, 32]
    assert picture[2, 2].tolist() == [90, 90, 90]


def test_the_record_says_how(tmp_path: Path) -> None:
    result = run(write(tmp_path / "a.tif", draw(SIZE, DISCS)), min_score=0.4)
    record = json.loads(result.record.read_text())
    assert record["weights"] == {"discs": "0" * 64}
    assert record["options"]["min_score"] == 0.4
    assert record["results"]["count"] == len(DISCS)
    assert set(record["timings"]) >= {"search", "write"}
    assert list(record["inputs"]) == [str(tmp_path / "a.tif")]


def test_existing_outputs_are_safe(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", draw(SIZE, DISCS))
    for name in ("out.gpkg", "shape.dbf", "pic.csv.preview.png", "aoi.gpkg"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError):
        run(path)
    with pytest.raises(OutputError):
        run(path, "shape.shp")
    with pytest.raises(OutputError):
        run(path, "pic.csv", preview=True)
    with pytest.raises(OutputError):
        run(path, "aoi.gpkg", overwrite=True, aoi=tmp_path / "aoi.gpkg")
    assert (tmp_path / "out.gpkg").read_text() == "mine"
    assert run(path, overwrite=True).count == len(DISCS)


def test_a_fault_late_in_the_file_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", draw((900, 300), DISCS), compress="deflate", blockysize=16)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(UnreadableInputError):
        run(path, preview=True)
    assert [item.name for item in tmp_path.iterdir()] == ["a.tif"]


def test_outputs_are_named_after_their_inputs(tmp_path: Path) -> None:
    one, two = tmp_path / "a.tif", tmp_path / "b.tif"
    settings = DetectSettings(format="csv")
    assert _outputs([one], None, settings) == [tmp_path / "a_detections.csv"]
    assert _outputs([one], tmp_path / "x.csv", settings) == [tmp_path / "x.csv"]
    folder = tmp_path / "made"
    assert _outputs([one, two], folder, settings) == [folder / "a_detections.csv", folder / "b_detections.csv"]
    assert folder.is_dir()
    with pytest.raises(UsageError, match="one file for 2 inputs"):
        _outputs([one, two], tmp_path / "x.csv", settings)
    with pytest.raises(UsageError, match="both write"):
        _outputs([one, tmp_path / "sub" / "a.tif"], folder, settings)


def test_memory_does_not_grow_with_the_raster(tmp_path: Path) -> None:
    """Numpy's peak on a raster four times as tall is that of the small one, give or take a block."""
    import tracemalloc

    peaks = []
    for height in (4000, 16000):
        path = write(tmp_path / f"{height}.tif", np.zeros((3, height, 300), np.uint8), compress="deflate")
        tracemalloc.start()
        run(path, f"{height}.gpkg", spec={"window": 256})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
