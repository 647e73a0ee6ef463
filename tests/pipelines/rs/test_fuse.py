"""Several looks at one raster: each object once, its box and score the mean of what the looks saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes.discs import boxes_of, detector, draw, predict, scattered, write
from vitapps.errors import UsageError
from vitapps.pipelines.rs.detect import DetectSettings, detect
from vitapps.pipelines.rs.find import Candidates
from vitapps.pipelines.rs.fuse import fused
from vitapps.pipelines.rs.tile_boxes import boxes_of_tile
from vitapps.pipelines.windows.boxes import box_iou, overlapping

SIZE = (230, 310)
DISCS = scattered(SIZE, 30)
SCALES = {"more_scales": (1.0, 0.8, 1.25), "more_thresholds": (0.5,)}


def look(*rows: tuple[float, float, float, float, float]) -> Candidates:
    """Candidates of one class from rows x0 y0 x1 y1 score."""
    table = np.array(rows, float).reshape(-1, 5)
    count = len(table)
    return Candidates(table[:, :4], table[:, 4], np.zeros(count, np.int64), np.zeros(count, bool))


def test_boxes_are_averaged_by_score_and_scores_over_all_looks() -> None:
    first = look((0, 0, 10, 10, 0.9), (40, 0, 50, 10, 0.6))
    second = look((1, 0, 11, 10, 0.3), (80, 0, 90, 10, 0.95))
    found = fused([first, second], np.array([0.2]))
    assert np.allclose(found.boxes, [[80, 0, 90, 10], [0.25, 0, 10.25, 10], [40, 0, 50, 10]])
    assert np.allclose(found.scores, [0.475, 0.6, 0.3])
    assert np.allclose(fused([first, second], np.array([0.5])).scores, [0.6])


def test_a_look_gives_each_object_one_box_and_a_box_is_given_once() -> None:
    first = look((0, 0, 10, 10, 0.8), (3, 0, 13, 10, 0.7))
    second = look((1, 0, 11, 10, 0.6), (0, 0, 10, 11, 0.5))
    assert np.allclose(fused([first, second], np.array([0.1])).scores, [0.7, 0.35, 0.25])


def test_one_look_is_only_cut_off_below() -> None:
    only = look((0, 0, 10, 10, 0.8), (40, 0, 50, 10, 0.3))
    found = fused([only], np.array([0.5]))
    assert np.array_equal(found.boxes, only.boxes[:1])
    assert np.array_equal(found.scores, only.scores[:1])
    assert not len(fused([look(), look()], np.array([0.5])).boxes)


def test_pairs_are_those_of_the_whole_matrix() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (200, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.normal(2, 1, (200, 2)))], axis=1)
    labels = rng.integers(0, 2, 200)
    near = (box_iou(boxes, boxes) > 0.3) & (labels[:, None] == labels)
    first, second = overlapping(boxes, 0.3, labels)
    assert np.array_equal(np.stack([first, second], axis=1), np.argwhere(np.triu(near, 1)))


def test_a_thorough_search_finds_each_disc_once(tmp_path: Path) -> None:
    raster = write(tmp_path / "a.tif", draw(SIZE, DISCS))
    for name, thorough in (("plain", False), ("thorough", True)):
        settings = DetectSettings(format="csv", thorough=thorough, preview=True)
        result = detect(raster, tmp_path / f"{name}.csv", detector(**SCALES), settings)
        assert result.count == len(DISCS)
        assert result.area_ha == pytest.approx(SIZE[0] * SIZE[1] / 1e6, rel=1e-3)


def test_a_tile_is_searched_as_a_raster_is() -> None:
    spec = detector(**SCALES).spec.thorough()
    boxes, scores = boxes_of_tile(predict, draw(SIZE, DISCS), spec, 0.5)
    distance = np.abs(boxes[:, None] - boxes_of(DISCS)[None]).max(axis=2)  # n n
    assert distance.shape == (len(DISCS), len(DISCS))
    assert max(distance.min(axis=0).max(), distance.min(axis=1).max()) < 1.5
    assert scores == pytest.approx(0.9)


def test_weights_of_one_scale_refuse(tmp_path: Path) -> None:
    raster, out = write(tmp_path / "a.tif", draw(SIZE, DISCS[:2])), tmp_path / "a.csv"
    with pytest.raises(UsageError, match="--thorough"):
        detect(raster, out, detector(), DetectSettings(thorough=True))
    assert not out.exists()
