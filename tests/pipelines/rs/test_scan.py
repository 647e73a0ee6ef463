"""Blocks of windows: they cover everything once, agree with a read of the whole, and hand on what goes wrong."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes.discs import write
from vitapps.datasets.formats.raster import RasterMeta, open_raster
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.rs.gsd import Scale, choose_scale
from vitapps.pipelines.rs.merge import judge_in_window, owned_spans, window_starts
from vitapps.pipelines.rs.scan import BlockPlan, read_ahead

SIZE = (330, 410)


def scale_of(factor: float) -> Scale:
    height, width = round(SIZE[0] * factor), round(SIZE[1] * factor)
    return Scale(x=width / SIZE[1], y=height / SIZE[0], width=width, height=height, pixel=(0.1, 0.1))


@pytest.mark.parametrize("full_rows", [False, True])
@pytest.mark.parametrize("factor", [1.0, 0.37, 1.6])
def test_blocks_agree_with_a_read_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float, full_rows: bool
) -> None:
    monkeypatch.setattr("vitapps.pipelines.rs.scan._BLOCK_SIDE", 100)
    image = np.random.default_rng(0).integers(0, 256, (3, *SIZE), np.uint8)
    scale = scale_of(factor)
    picture = Image.fromarray(image.transpose(1, 2, 0)).resize((scale.width, scale.height), Image.Resampling.BILINEAR)
    whole = np.asarray(picture).transpose(2, 0, 1).astype(int)
    area = (7, 5, scale.width - 9, scale.height)
    counted, blocks = np.zeros((scale.height, scale.width), int), 0
    with open_raster(write(tmp_path / "a.tif", image)) as raster:
        plan = BlockPlan(area, 64, 0.4375, scale, full_rows=full_rows)
        for part in read_ahead(raster, plan, scale):
            x0, y0, x1, y1 = part.block.rect
            assert part.rgb.shape == (3, y1 - y0, x1 - x0)
            assert part.valid.all()
            assert np.abs(part.rgb - whole[:, y0:y1, x0:x1]).max() <= 2  # rounding within Pillow
            left, top, right, bottom = part.block.core
            counted[top:bottom, left:right] += 1
            blocks += 1
    assert blocks == len(plan) > 1
    expected = np.zeros_like(counted)
    expected[area[1] : area[3], area[0] : area[2]] = 1
    assert np.array_equal(counted, expected)


def test_windows_cover_and_own_everything() -> None:
    for length in (1, 63, 64, 65, 100, 129, 1000):
        starts = window_starts(length, 64, 0.4375)
        spans = owned_spans(starts, 64, length)
        assert starts[0] == 0
        assert starts[-1] == max(0, length - 64)
        assert all(0 < right - left <= 36 for left, right in itertools.pairwise(starts))
        assert spans[0, 0] == 0
        assert spans[-1, 1] == max(64, length)
        assert np.array_equal(spans[1:, 0], spans[:-1, 1])


def test_a_plan_of_a_world_costs_nothing() -> None:
    scale = Scale(x=1.0, y=1.0, width=4_000_000, height=4_000_000, pixel=(0.1, 0.1))
    plan = BlockPlan((0, 0, 4_000_000, 4_000_000), 256, 0.25, scale)
    assert len(plan) > 1_000_000
    assert next(iter(plan)).rect[:2] == (0, 0)


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_nodata_is_filled_with_the_mean(tmp_path: Path, factor: float) -> None:
    image = np.full((3, *SIZE), 100, np.uint8)
    image[:, :, :50] = 0
    scale = scale_of(factor)
    with open_raster(write(tmp_path / "a.tif", image, nodata=0)) as raster:
        for part in read_ahead(raster, BlockPlan((0, 0, scale.width, scale.height), 64, 0.4375, scale), scale):
            assert set(np.unique(part.rgb)) == {100}
            x0 = part.block.rect[0]
            edge = round(50 * factor) - x0
            assert not part.valid[:, : max(0, edge - 1)].any()
            assert part.valid[:, max(0, edge + 1) :].all()


def test_small_rasters_are_padded_and_the_padding_does_not_count(tmp_path: Path) -> None:
    image = np.full((3, 10, 20), 70, np.uint8)
    scale = Scale(x=1.0, y=1.0, width=20, height=10, pixel=(0.1, 0.1))
    with open_raster(write(tmp_path / "a.tif", image)) as raster:
        (part,) = read_ahead(raster, BlockPlan((0, 0, 20, 10), 64, 0.25, scale), scale)
    assert part.rgb.shape == (3, 64, 64)
    assert (part.rgb == 70).all()
    assert part.valid.sum() == 200
    assert part.valid[:10, :20].all()


def test_an_error_of_the_reader_arrives(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((3, *SIZE), np.uint8), compress=None)
    path.write_bytes(path.read_bytes()[:-200_000])
    scale = scale_of(1.0)
    with open_raster(path) as raster, pytest.raises(UnreadableInputError, match="cannot be read"):
        list(read_ahead(raster, BlockPlan((0, 0, scale.width, scale.height), 64, 0.25, scale), scale))


def test_who_stops_early_leaves_no_thread(tmp_path: Path) -> None:
    import threading

    scale = scale_of(1.0)
    with open_raster(write(tmp_path / "a.tif", np.ones((3, *SIZE), np.uint8))) as raster:
        pictures = read_ahead(raster, BlockPlan((0, 0, scale.width, scale.height), 64, 0.25, scale), scale)
        next(iter(pictures))
        pictures.close()  # type: ignore[attr-defined]
        assert not [thread for thread in threading.enumerate() if thread.name == "vitapps-reader"]


def test_windows_keep_what_is_theirs_and_whole() -> None:
    boxes = np.array(
        [
            [20, 20, 40, 40],  # owned and whole
            [1, 20, 20, 40],  # cut at the left, where another window sees it whole
            [1, 20, 20, 60],  # the same: it is only its height that no window overlaps
            [1, 20, 40, 40],  # cut, but wider than the overlap
            [50, 50, 62.5, 58],  # at the right, which is the border of the raster
            [60, 0, 64, 4],  # at the right too, but cut at the top
        ],
        float,
    )
    inner = np.tile([True, True, False, False], (6, 1))
    owned = np.tile([8.0, 0, 64, 64], (6, 1))
    counts, cut = judge_in_window(boxes, owned, inner, 64, 0.5)
    assert counts.tolist() == [True, False, False, True, True, False]
    assert cut.tolist() == [False, True, True, True, False, True]
    away = np.tile([8.0, 0, 20, 20], (6, 1))
    assert judge_in_window(boxes, away, inner, 64, 0.5)[0].tolist() == [True, False, False, True, False, False]
    inner[:] = False
    assert judge_in_window(boxes, owned, inner, 64, 0.5)[0].all()


def meta(pixel: float, crs: str | None = 'LOCAL_CS["site",UNIT["metre",1]]') -> RasterMeta:
    return RasterMeta(
        path=Path("a.tif"), width=100, height=50, count=3, dtype="uint8", driver="GTiff", crs=crs,
        transform=(pixel, 0, 0, 0, -pixel, 0), georeferenced=True,
    )  # fmt: skip


def test_scale_by_the_pixel_size(caplog: pytest.LogCaptureFixture) -> None:
    scale = choose_scale(meta(0.2), 0.1)
    assert (scale.x, scale.y, scale.width, scale.height) == pytest.approx((2, 2, 200, 100))
    assert scale.pixel == pytest.approx((0.2, 0.2))
    assert choose_scale(meta(0.1004), 0.1).x == 1  # resampling would only blur
    assert choose_scale(meta(0.2), 0.1, "native").x == 1
    assert choose_scale(meta(0.2), 0.1, 0.05).x == 0.5
    assert caplog.text == ""
    assert choose_scale(meta(0.3), 0.1).x == pytest.approx(3)
    assert "small objects will be missed" in caplog.text
    assert choose_scale(meta(0.3, None), 0.1).x == 1
    assert "0.1 m is assumed" in caplog.text
    assert "--gsd 0.3 if these are metres" in caplog.text
    caplog.clear()
    assert choose_scale(meta(1.0), 0.1, "native").x == 1
    assert "pixels of 1 m taken as they are, the model has learnt 0.1 m" in caplog.text


def test_impossible_scales_are_refused() -> None:
    for pixel in (0.6, 0.001):
        with pytest.raises(UnreadableInputError):
            choose_scale(meta(pixel), 0.1)
    assert choose_scale(meta(0.6), 0.1, "native").pixel == pytest.approx((0.6, 0.6))
    with pytest.raises(UsageError):
        choose_scale(meta(0.1), 0.1, -1.0)
