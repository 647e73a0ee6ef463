"""Several rasters in one run give what each gives alone, each with its own warnings."""

from __future__ import annotations

import json
from pathlib import Path

import pyogrio
import pytest

from fakes.discs import detector, draw, scattered, write
from vitapps.errors import PartialFailureError
from vitapps.pipelines.rs import detect_many as module
from vitapps.pipelines.rs.detect import detect
from vitapps.pipelines.rs.detect_many import detect_many

SIZE = (150, 170)


def test_many_rasters_give_what_each_gives_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_detector", lambda weights, options: detector())
    paths = [write(tmp_path / f"tile{index}.tif", draw(SIZE, scattered(SIZE, 8, index))) for index in range(4)]
    blank = write(tmp_path / "blank.tif", draw(SIZE, []) * 0, nodata=0)  # warns: no valid pixel
    (tmp_path / "bad.tif").write_bytes(b"no raster")
    batch = detect_many([paths[0], tmp_path / "bad.tif", blank, *paths[1:]], tmp_path / "many")
    assert [result.input for result in batch.done] == [paths[0], blank, *paths[1:]]
    assert [failure.input for failure in batch.failed] == [tmp_path / "bad.tif"]
    with pytest.raises(PartialFailureError):
        batch.raise_if_any_failed()
    for result in batch.done:
        warnings = json.loads(result.record.read_text())["warnings"]
        assert any("no valid pixel" in line for line in warnings) == (result.input == blank)  # and of no other raster
        if result.input != blank:
            alone = detect(result.input, tmp_path / f"{result.input.stem}.gpkg", detector())
            assert alone.count == result.count == 8
            tables = [pyogrio.raw.read(path)[2:] for path in (alone.out, result.out)]
            assert tables[0][0].tolist() == tables[1][0].tolist()
