"""`vitapps rs` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyogrio
import pytest

from fakes.discs import draw, write, write_graph_card
from vitapps.apps.main import main

GRID = [(24.0 + 36 * column, 28.0 + 40 * row, 8.0) for row in range(4) for column in range(6)]
SIZE = (180, 240)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_graph_card(tmp_path_factory.mktemp("card")))


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    return write(tmp_path / "tile.tif", draw(SIZE, GRID))


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["rs", *map(str, words)])
    shown = capfd.readouterr()
    return code, shown.out, shown.err


def test_detect(tile: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "detect", tile, "-w", weights, "--threads", 1)
    assert (code, err) == (0, "")
    target = tile.parent / "tile_detections.gpkg"
    assert f"{len(GRID)} boxes" in out
    assert str(target) in out
    meta, _, geometry, _ = pyogrio.raw.read(target)
    assert (len(geometry), meta["crs"]) == (len(GRID), "EPSG:32611")
    code, out, err = run(capfd, "detect", tile, "-w", weights)
    assert (code, out) == (5, "")
    assert "tile_detections.gpkg" in err


def test_detect_json(tile: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    out = tile.parent / "boxes.geojson"
    code, shown, err = run(capfd, "detect", tile, "-w", weights, "-o", out, "--json", "--preview", "--min-score", 0.7)
    assert (code, err) == (0, "")
    found = json.loads(shown)
    assert found["count"] == len(GRID) == len(json.loads(out.read_text())["features"])
    assert found["per_class"] == {"disc": len(GRID)}
    assert found["area_ha"] == pytest.approx(SIZE[0] * SIZE[1] * 1e-6, rel=0.01)
    assert found["density_per_ha"] == pytest.approx(len(GRID) / found["area_ha"], rel=0.01)
    assert 0.7 <= found["mean_score"] <= 1
    assert found["megapixels"] == pytest.approx(0.0432, abs=1e-3)
    assert Path(found["preview"]).stat().st_size
    record = json.loads(Path(found["record"]).read_text())
    assert record["engine"] == "openvino"
    assert record["command"].startswith("vitapps rs detect")


def test_options_reach_the_pipeline(tile: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    region = "320000,4095991,320012,4096000"  # the upper left twelve by nine metres
    words = ("--region", region, "--format", "csv", "--gsd", "0.1", "--range", "0,255", "--bands", "1,2,3", "--json")
    code, shown, err = run(capfd, "detect", tile, "-w", weights, *words)
    assert (code, err) == (0, "")
    inside = [(x, y) for x, y, _ in GRID if x < 120 and y < 90]
    assert json.loads(shown)["count"] == len(inside)
    assert (tile.parent / "tile_detections.csv").exists()
    code, shown, err = run(
        capfd, "detect", tile, "-w", weights, "--max-size", 1, "-o", tile.parent / "b.gpkg", "--json"
    )
    assert json.loads(shown)["count"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--bands", "red"), ("--bands", "1,2"), ("--bands", "1,2,9"), ("--range", "5"), ("--range", "9,1"),
        ("--gsd", "small"), ("--gsd", "0"), ("--region", "1,2,3"), ("--region", "0,0,1,1"), ("--min-score", "7"),
        ("--nms-iou", "-1"), ("--min-size", "9", "--max-size", "1"), ("--format", "kml"), ("-o", "boxes.kml"),
    ],
)  # fmt: skip
def test_senseless_options_are_usage_errors(
    tile: Path, weights: str, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capfd, "detect", tile, "-w", weights, *words)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("hint: ")
    assert [item.name for item in tile.parent.iterdir()] == ["tile.tif"]


def test_several_rasters(tile: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tile.parent
    empty = write(folder / "empty.tif", np.full((3, *SIZE), 90, np.uint8))
    bad = folder / "bad.tif"
    bad.write_bytes(b"nothing")
    code, out, err = run(capfd, "detect", tile, bad, empty, "-w", weights, "-o", folder / "all", "--json")
    assert code == 6
    found = json.loads(out)
    assert [item["count"] for item in found["results"]] == [len(GRID), 0]
    assert [Path(item["input"]).name for item in found["failures"]] == ["bad.tif"]
    assert "bad.tif" in err
    assert sorted(item.name for item in (folder / "all").glob("*.gpkg")) == [
        "empty_detections.gpkg", "tile_detections.gpkg",
    ]  # fmt: skip
    code, out, err = run(capfd, "detect", tile, empty, "-w", weights, "-o", folder / "all", "--overwrite")
    assert (code, len(out.splitlines())) == (0, 2)


def test_a_bad_raster_is_told_before_the_weights(tile: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The model takes a second to load, and its absence would hide what is wrong with the file."""
    bad = tile.with_name("bad.tif")
    bad.write_bytes(b"nothing")
    code, out, err = run(capfd, "detect", bad, "-w", "absent.toml")
    assert (code, out) == (3, "")
    assert "bad.tif" in err
    code, out, err = run(capfd, "detect", bad, tile, "-w", "absent.toml", "-o", tile.parent / "all", "--json")
    assert code == 4  # of the second raster: it opens, and no raster can be searched
    assert "absent.toml" in json.loads(out)["error"]


def test_weights_of_another_task_are_refused(tile: Path, weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    card = Path(weights)
    other = card.with_name("other.toml")
    other.write_text(card.read_text().replace("rs.detect", "medical.segment"))
    code, out, err = run(capfd, "detect", tile, "-w", other)
    assert (code, out) == (4, "")
    assert "medical.segment" in err


def test_a_run_on_the_cpu_imports_no_torch(tile: Path, weights: str) -> None:
    words = ["rs", "detect", str(tile), "-w", weights, "--preview", "--threads", "1"]
    code = f"""
import sys
from vitapps.apps.main import main
code = main({words!r})
heavy = sorted({{name.split(".")[0] for name in sys.modules}} & {{"torch", "timm", "torchvision", "monai", "cv2"}})
assert not heavy, heavy
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
