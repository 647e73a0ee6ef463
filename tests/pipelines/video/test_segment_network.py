"""Masks by a network: triples that say what they show, soft aggregation, and a card through the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fakes.clips import squares
from vitapps.apps.main import main
from vitapps.datasets.formats.mask_series import write_index_png
from vitapps.datasets.synth.mask_triples import MaskTriples, joined
from vitapps.pipelines.video.segment_network import NetworkPropagator

Floats = NDArray[np.float32]


def photos() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (12, 16, 3)).astype(np.uint8) for _ in range(2)]
    return [np.asarray(cv2.resize(item, (200, 150), interpolation=cv2.INTER_CUBIC), np.uint8) for item in coarse]


def test_triples_are_seeded_and_hold_an_object() -> None:
    triples = MaskTriples(photos=photos(), side=64)
    one, again, other = triples.sample(5), triples.sample(5), triples.sample(6)
    assert one.frames.shape == (3, 64, 64, 3) and one.masks.shape == (3, 64, 64)
    assert np.array_equal(one.frames, again.frames) and np.array_equal(one.masks, again.masks)
    assert not np.array_equal(one.frames, other.frames)
    areas = np.array([(triples.sample(number).masks > 127).mean(axis=(1, 2)) for number in range(20)])
    assert (areas[:, 0] > 0.005).mean() > 0.6 and areas.max() < 0.9
    image = joined(one)
    assert image.shape == (12, 64, 64) and image.min() >= 0 and image.max() <= 1
    assert not image[3].any()  # the query's own mask is what is asked for
    assert np.allclose(image[7], one.masks[0] / 255) and np.allclose(image[0], one.frames[2, ..., 0] / 255)


def by_colour(frames: Floats) -> tuple[Floats]:
    """Logits where the query has the mean colour under the mask of the frame before."""
    query, before, mask = frames[:, :3], frames[:, 8:11], frames[:, 11:]
    mean = (before * mask).sum(axis=(2, 3), keepdims=True) / mask.sum(axis=(2, 3), keepdims=True)
    return (10 * (1 - 6 * np.abs(query - mean).sum(axis=1, keepdims=True)),)


def test_objects_share_no_pixel_and_keep_their_numbers() -> None:
    def frame(step: int) -> NDArray[np.uint8]:
        picture = np.full((48, 64, 3), 30, np.uint8)
        picture[8:24, 4 + step : 20 + step] = (220, 40, 40)
        picture[28:44, 40 - step : 56 - step] = (40, 40, 220)
        return picture

    labels = np.zeros((48, 64), np.uint8)
    labels[8:24, 4:20], labels[28:44, 40:56] = 3, 7
    follow = NetworkPropagator(frame(0), labels, by_colour, (24, 32))
    for step in (2, 4):
        found = follow.step(frame(step))
        assert set(np.unique(found)) == {0, 3, 7}
        red = frame(step)[..., 0] > 128
        assert ((found == 3) & red).sum() / ((found == 3) | red).sum() > 0.8


def test_a_trained_card_segments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "photos"
    data.mkdir()
    for number, photo in enumerate(photos()):
        Image.fromarray(photo).save(data / f"{number}.png")
    words = ["--steps", "2", "--batch", "2", "--size", "32", "--dim", "32", "--depth", "2", "--prototypes", "4", "-q"]
    assert main(["video", "train", "segment", "--data", str(data), "-o", str(tmp_path / "run"), *words]) == 0
    card = tmp_path / "run" / "segment-simvos.toml"
    capsys.readouterr()
    clip = tmp_path / "clip"
    clip.mkdir()
    pictures, boxes = squares(frames=3)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(clip / f"{number}.png")
    x, y, w, h = map(round, boxes[0])
    mask = np.zeros(pictures[0].shape[:2], np.uint8)
    mask[y : y + h, x : x + w] = 1
    write_index_png(tmp_path / "first.png", mask)
    words = ["video", "segment", str(clip), "--mask", str(tmp_path / "first.png"), "--threads", "1", "--json"]
    assert main([*words, "-o", str(tmp_path / "masks.json"), "-w", str(card)]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 3
    record = json.loads((tmp_path / "masks.json.run.json").read_text())
    assert "segment-simvos" in json.dumps(record)
    assert main([*words, "-o", str(tmp_path / "other.json"), "-w", "trees-neon"]) == 4
    said = capsys.readouterr()
    assert "rs.detect" in said.out + said.err
