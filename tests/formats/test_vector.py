"""Boxes in every vector format, read back by other software."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from rasterio.transform import from_origin

from fakes.discs import NORTH_UP, UTM, write
from vitapps.datasets.formats.geojson import counter_clockwise, unwrapped
from vitapps.datasets.formats.raster import open_raster
from vitapps.datasets.formats.vector import BoxTable, check_table, write_table
from vitapps.datasets.formats.vector_formats import SUFFIXES, VectorFormat, choose_format
from vitapps.datasets.formats.vector_read import read_polygons
from vitapps.errors import UnreadableInputError, UsageError

BOXES = np.array([[10.0, 20.0, 40.0, 60.0], [50.5, 5.25, 70.5, 15.25]])
TURNED = Affine.translation(320000, 4096000) @ Affine.rotation(30) @ Affine.scale(0.1, -0.1)


def table(folder: Path, boxes: Any = BOXES, **profile: Any) -> BoxTable:
    with open_raster(write(folder / "tile.tif", np.zeros((3, 100, 120), np.uint8), **profile)) as raster:
        meta = raster.meta
    found = np.asarray(boxes, float).reshape(-1, 4)
    scores = np.linspace(0.9, 0.5, len(found))
    return BoxTable(meta=meta, boxes=found, scores=scores, labels=np.arange(len(found)) % 2, names=("oak", "señal"))


def write_as(form: VectorFormat, folder: Path, content: BoxTable) -> Path:
    path = folder / f"found{SUFFIXES[form]}"
    write_table(path, content, form)
    return path


def columns_of(path: Path) -> tuple[dict[str, Any], Any, str]:
    meta, _, geometry, values = pyogrio.raw.read(path)
    return dict(zip(meta["fields"], values, strict=True)), shapely.from_wkb(geometry), meta["crs"]


@pytest.mark.parametrize("form", ["gpkg", "shp"])
def test_ogr_formats_hold_the_crs_the_polygons_and_the_attributes(tmp_path: Path, form: VectorFormat) -> None:
    columns, shapes, crs = columns_of(write_as(form, tmp_path, table(tmp_path)))
    assert crs == UTM
    assert shapes[0].bounds == pytest.approx((320001.0, 4095994.0, 320004.0, 4095998.0))
    assert shapes[0].exterior.is_ccw or form == "shp"  # a Shapefile turns its rings
    assert columns["id"].tolist() == [1, 2]
    assert columns["label"].tolist() == ["oak", "señal"]
    assert columns["score"].tolist() == pytest.approx([0.9, 0.5])
    assert columns["width_m"].tolist() == pytest.approx([3.0, 2.0], rel=1e-3)
    assert columns["height_m"].tolist() == pytest.approx([4.0, 1.0], rel=1e-3)
    assert columns["area_m2"].tolist() == pytest.approx([12.0, 2.0], rel=1e-3)
    assert [columns[name][1] for name in ("x0_px", "y0_px", "x1_px", "y1_px")] == pytest.approx(BOXES[1])
    assert max(map(len, columns)) <= 10


def test_a_shapefile_has_its_companions(tmp_path: Path) -> None:
    write_as("shp", tmp_path, table(tmp_path))
    assert {path.suffix for path in tmp_path.glob("found.*")} == {".shp", ".shx", ".dbf", ".prj", ".cpg"}


def test_polygons_turn_with_the_raster(tmp_path: Path) -> None:
    _, shapes, _ = columns_of(write_as("gpkg", tmp_path, table(tmp_path, transform=TURNED)))
    expected = [TURNED * point for point in ((10, 20), (10, 60), (40, 60), (40, 20))]
    assert shapely.equals_exact(
        shapely.normalize(shapes[0]), shapely.normalize(shapely.Polygon(expected)), tolerance=1e-6
    )


def test_geojson_is_rfc_7946(tmp_path: Path) -> None:
    path = write_as("geojson", tmp_path, table(tmp_path))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content) == {"type", "bbox", "features"}  # no `crs` member
    assert len(content["features"]) == 2
    west, south, east, north = content["bbox"]
    assert -119.1 < west < east < -119.0  # longitude first
    assert 36.9 < south < north < 37.0
    for feature in content["features"]:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert len(ring) == 5
        assert shapely.LinearRing(ring).is_ccw
        assert west <= feature["bbox"][0] < feature["bbox"][2] <= east
        assert all(len(f"{value}".split(".")[1]) <= 7 for point in ring for value in point)
    assert content["features"][1]["properties"]["label"] == "señal"
    _, shapes, crs = columns_of(path)
    assert crs == "EPSG:4326"
    back = shapely.transform(shapes[0], lambda xy: _to_utm(xy))
    assert back.bounds == pytest.approx((320001.0, 4095994.0, 320004.0, 4095998.0), abs=0.02)


def _to_utm(points: Any) -> Any:
    from pyproj import Transformer

    change = Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    return np.stack(change.transform(points[:, 0], points[:, 1]), axis=1)


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED, Affine(0.1, 0, 320000, 0, 0.1, 4096000)])
def test_geojson_rings_are_counter_clockwise_on_any_grid(tmp_path: Path, transform: Affine) -> None:
    path = write_as("geojson", tmp_path, table(tmp_path, transform=transform))
    for feature in json.loads(path.read_text())["features"]:
        assert shapely.LinearRing(feature["geometry"]["coordinates"][0]).is_ccw


def test_geojson_is_cut_at_the_date_line(tmp_path: Path) -> None:
    place = from_origin(179.9999, -17.0, 2e-6, 2e-6)  # 180 degrees is 50 pixels in
    content = table(tmp_path, [[40, 10, 60, 20], [5, 5, 10, 10], [90, 5, 95, 10]], crs="EPSG:4326", transform=place)
    found = json.loads(write_as("geojson", tmp_path, content).read_text())
    crossing, west, east = found["features"]
    assert crossing["geometry"]["type"] == "MultiPolygon"
    assert crossing["bbox"][0] > 179 > -179 > crossing["bbox"][2]  # from west to east across the line
    longitudes = [[point[0] for point in part[0]] for part in crossing["geometry"]["coordinates"]]
    assert max(longitudes[0]) == 180
    assert min(longitudes[1]) == -180
    assert all(-180 <= value <= 180 for part in longitudes for value in part)
    assert west["bbox"][0] > 179
    assert east["bbox"][0] == pytest.approx(-179.99992)
    assert found["bbox"][0] > 179 > -179 > found["bbox"][2]


def test_rings_are_unwrapped_and_turned_only_where_needed() -> None:
    ring = np.array([[[1.0, 0], [1, 1], [0, 1], [0, 0], [1, 0]]])
    assert np.array_equal(counter_clockwise(ring), ring)
    assert np.array_equal(counter_clockwise(ring[:, ::-1]), ring)
    assert np.array_equal(unwrapped(ring), ring)
    assert unwrapped(np.array([[[179.0, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]]))[0, 1, 0] == 181


def test_coco_loads_and_counts_pixels(tmp_path: Path) -> None:
    content = json.loads(write_as("coco", tmp_path, table(tmp_path)).read_text(encoding="utf-8"))
    assert content["images"] == [{"id": 1, "file_name": "tile.tif", "width": 120, "height": 100}]
    assert [item["name"] for item in content["categories"]] == ["oak", "señal"]
    first, second = content["annotations"]
    assert first["bbox"] == [10, 20, 30, 40]  # x y width height
    assert first["area"] == 1200
    assert second["bbox"] == [50.5, 5.25, 20, 10]
    for item in (first, second):
        assert item["image_id"] == 1
        assert item["category_id"] in {category["id"] for category in content["categories"]}
        assert item["iscrowd"] == 0
    assert (first["id"], second["id"]) == (1, 2)


def test_csv_has_pixels_and_coordinates(tmp_path: Path) -> None:
    with write_as("csv", tmp_path, table(tmp_path)).open(newline="", encoding="utf-8") as stream:
        first, _ = csv.DictReader(stream)
    assert (first["id"], first["label"], float(first["score"])) == ("1", "oak", 0.9)
    assert [float(first[name]) for name in ("x0_px", "y0_px", "x1_px", "y1_px")] == BOXES[0].tolist()
    assert [float(first[name]) for name in ("minx", "miny", "maxx", "maxy")] == [320001, 4095994, 320004, 4095998]


@pytest.mark.parametrize("form", get_args(VectorFormat))
def test_nothing_found_is_a_valid_file(tmp_path: Path, form: VectorFormat) -> None:
    path = write_as(form, tmp_path, table(tmp_path, np.zeros((0, 4))))
    if form == "csv":
        assert path.read_text().startswith("id,label,score")
    elif form == "coco":
        assert json.loads(path.read_text())["annotations"] == []
    else:
        columns, shapes, _ = columns_of(path)
        assert len(shapes) == 0
        assert form == "geojson" or "width_m" in columns


@pytest.mark.parametrize("form", get_args(VectorFormat))
def test_a_raster_without_a_place(tmp_path: Path, form: VectorFormat) -> None:
    content = table(tmp_path, crs=None, transform=None)
    if form == "geojson":
        with pytest.raises(UsageError, match="no CRS"):
            check_table(content.meta, form)
        return
    check_table(content.meta, form)
    path = write_as(form, tmp_path, content)
    if form in ("gpkg", "shp"):
        columns, shapes, crs = columns_of(path)
        assert not crs or "Undefined" in crs
        assert shapes[0].bounds == (10, -60, 40, -20)  # where QGIS draws such a raster
        assert np.isnan(columns["width_m"]).all()
    if form == "csv":
        assert ",10.0,20.0,40.0,60.0,,,," in path.read_text()


def test_the_suffix_chooses_the_format() -> None:
    assert choose_format(Path("a.GPKG"), None) == "gpkg"
    assert choose_format(Path("a.json"), None) == "coco"
    assert choose_format(Path("a.json"), "geojson") == "geojson"
    assert choose_format(None, None) == "gpkg"
    assert choose_format(None, "csv") == "csv"
    for name, wanted in (("a.xyz", None), ("a", None), ("a.json", "shp"), ("a.csv", "gpkg")):
        with pytest.raises(UsageError):
            choose_format(Path(name), wanted)  # type: ignore[arg-type]


def test_polygons_are_read_and_others_left_out(tmp_path: Path) -> None:
    shapes = [shapely.box(0, 0, 1, 1), shapely.Point(3, 3), shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])]
    path = tmp_path / "aoi.geojson"
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(item)} for item in shapes]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    crs, polygons = read_polygons(path)
    assert crs == "EPSG:4326"
    assert len(polygons) == 2
    assert shapely.is_valid(polygons).all()
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features[1:2]}))
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    os.mkfifo(tmp_path / "pipe.gpkg")
    raster = write(tmp_path / "a.tif", np.zeros((1, 4, 4), np.uint8))
    for bad in (path, tmp_path / "absent.gpkg", raster, tmp_path / "table.csv", tmp_path / "pipe.gpkg"):
        with pytest.raises(UnreadableInputError):
            read_polygons(bad)
