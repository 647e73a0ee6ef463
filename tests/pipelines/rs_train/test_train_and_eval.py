import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from vitapps.datasets.sets.neon_trees import read_tiles
from vitapps.errors import MissingError, UsageError
from vitapps.pipelines.rs import evaluate as evaluation
from vitapps.pipelines.rs.evaluate import evaluate
from vitapps.pipelines.rs.spec import spec_of
from vitapps.pipelines.rs.tile_boxes import boxes_of_tile
from vitapps.pipelines.rs.train_trees import TreeFit, choose_thresholds, fit_detector, synthetic_tiles, train
from vitapps.pipelines.rs.trees_data import TreeWindows, WindowConfig
from vitapps.shared_backbones.heads.detect_loss import detection_loss
from vitapps.shared_backbones.models.plain_detector import PlainDetector, PlainDetectorConfig

QUICK = TreeFit(steps=2, batch=1, synthetic_steps=1)


def test_one_seed_one_result(tile_folder, tmp_path):
    tiles = read_tiles(tile_folder)
    first = fit_detector(tiles, tmp_path / "a.pt", QUICK).state_dict()
    second = fit_detector(tiles, tmp_path / "b.pt", QUICK).state_dict()
    other = fit_detector(tiles, tmp_path / "c.pt", replace(QUICK, seed=1)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_a_start_is_taken(tile_folder, tmp_path):
    tiles = read_tiles(tile_folder)
    fit_detector(tiles, tmp_path / "a.pt", QUICK)
    begun = fit_detector(tiles, tmp_path / "b.pt", replace(QUICK, rate=0.0), start=tmp_path / "a.pt").state_dict()
    wanted = torch.load(tmp_path / "a.pt", weights_only=True)["average"]
    assert all(torch.allclose(begun[key], wanted[key]) for key in wanted)


def test_the_loss_falls(tile_folder):
    torch.manual_seed(0)
    windows = TreeWindows(read_tiles(tile_folder), WindowConfig(size=64, mosaic=0))
    small = PlainDetectorConfig(window=(64, 64), stem=(8, 16, 16), dim=32, depth=1, heads=2, pyramid=(16, 16))
    module = PlainDetector(small)
    image, heat, target = (torch.stack(part) for part in zip(*map(windows.sample, range(4)), strict=True))
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = detection_loss(*module.forward_logits(image), heat, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.75 * losses[0]


def test_quick_training_makes_a_card_that_runs(tile_folder, tmp_path):
    publish = pytest.importorskip("vitapps.shared_backbones.weights.publish")
    assert publish
    card = train(tile_folder, tmp_path / "AAAA", site_left_out="AAAA", config=QUICK)
    fields = tomllib.loads(card.read_text())
    assert fields["arch"] == "plain_detector"
    assert "AAAA" not in fields["training"]["data"]
    assert fields["training"]["command"].endswith("--leave-out AAAA")
    assert 0.05 <= fields["labels"][0]["threshold"] <= 0.9
    rows = evaluate(tile_folder, sites=["AAAA"], loso=tmp_path, thorough=True)
    assert rows[0].threshold == fields["labels"][0]["thorough"]
    rows = evaluate(tile_folder, sites=["AAAA"], loso=tmp_path)
    assert rows[0].threshold == fields["labels"][0]["threshold"]
    assert [row.site for row in rows] == ["AAAA", "pooled"]
    assert rows[0].drawn > 0


def test_wrong_options_are_refused(tile_folder, tmp_path):
    with pytest.raises(UsageError):
        train(tile_folder, tmp_path, config=replace(QUICK, steps=0))
    with pytest.raises(UsageError, match="HARV"):
        train(tile_folder, tmp_path, site_left_out="HARV")
    with pytest.raises(UsageError):
        evaluate(tile_folder, baseline="watershed", loso=tmp_path)
    with pytest.raises(UsageError, match="thorough"):
        evaluate(tile_folder, baseline="watershed", thorough=True)
    with pytest.raises(MissingError) as caught:
        evaluate(tile_folder, loso=tmp_path)
    assert "--leave-out AAAA" in str(caught.value.hint)


def test_an_oracle_scores_one(tile_folder, monkeypatch):
    def oracle(tiles, weights, thorough, options):
        return [evaluation.FoundBoxes(boxes=t.boxes.astype(float), scores=np.ones(len(t.boxes)), drawn=t.boxes)
                for t in tiles], 0.5  # fmt: skip

    monkeypatch.setattr(evaluation, "_by_card", oracle)
    rows = evaluate(tile_folder)
    assert [row.site for row in rows] == ["AAAA", "BBBB", "pooled"]
    assert all(row.f1 == row.precision == row.recall == 1 for row in rows)
    assert rows[-1].ap == pytest.approx(1)
    assert rows[-1].drawn == rows[0].drawn + rows[1].drawn


def test_the_watershed_finds_something(tile_folder):
    rows = evaluate(tile_folder, baseline="watershed")
    assert rows[-1].tiles == 4
    assert rows[-1].hits > 0


def test_tile_boxes_come_back_in_the_tile():
    """A model that marks every bright square: windows must give each square once, at its own place."""
    image = np.zeros((3, 100, 150), np.uint8)
    squares = [(10, 10), (60, 40), (118, 70), (30, 76)]  # x y, 16 pixels
    for x, y in squares:
        image[:, y : y + 16, x : x + 16] = 255

    def predict(windows):
        cells = windows.shape[2] // 4
        scores, boxes = np.zeros((1, 1, cells, cells), np.float32), np.zeros((1, 4, cells, cells), np.float32)
        for row in range(cells):
            for column in range(cells):
                y, x = row * 4 + 2, column * 4 + 2
                patch = windows[0, 0, max(0, y - 8) : y + 8, max(0, x - 8) : x + 8]
                scores[0, 0, row, column] = patch.mean() ** 2 if patch.shape == (16, 16) else 0
                boxes[0, :, row, column] = (x - 8, y - 8, x + 8, y + 8)
        return scores, boxes

    card = {"gsd": 0.1, "window": 64, "overlap": 0.5, "nms_iou": 0.1}
    boxes, scores = boxes_of_tile(predict, image, spec_of("squares", card, [{"name": "square"}]), 0.3)
    assert len(boxes) == len(squares)
    found = boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))]
    wanted = np.array([(x, y, x + 16, y + 16) for x, y in sorted(squares)], float)
    assert np.abs(found - wanted).max() <= 2
    assert (np.diff(scores) <= 0).all()


def test_threshold_and_synthetic_tiles():
    tiles = synthetic_tiles(1, 3)
    assert tiles[0].boxes.shape[1] == 4
    assert np.array_equal(tiles[0].image, synthetic_tiles(1, 3)[0].image)
    torch.manual_seed(0)
    thresholds = choose_thresholds(PlainDetector(PlainDetectorConfig()), tiles)
    assert thresholds.keys() == {"threshold", "thorough"}
    assert all(0.05 <= value <= 0.9 for value in thresholds.values())
