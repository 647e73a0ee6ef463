"""`video train track` on a handful of pictures: a card that the track command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fakes.clips import squares
from vitapps.apps.main import main
from vitapps.datasets.formats.tracks import read_tracks
from vitapps.datasets.formats.video_write import open_writer
from vitapps.pipelines.video import train_track
from vitapps.pipelines.video.flow import follow_boxes
from vitapps.pipelines.video.track_data import read_tracks_of_clips
from vitapps.shared_backbones.weights.cards import load_card


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    pictures, _ = squares(frames=20)
    with open_writer(folder / "clip.mp4", quality=10) as writer:
        for number, picture in enumerate(pictures):
            writer.add(picture, number / 25)
    rng = np.random.default_rng(0)
    for number in range(2):
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(cv2.resize(coarse, (200, 150), interpolation=cv2.INTER_CUBIC)).save(folder / f"{number}.png")
    return folder


def test_a_trained_card_tracks(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--data", str(data), "-o", str(tmp_path), "--steps", "2", "--batch", "2", "--occlusion", "0.1"]
    assert main(["video", "train", "track", *words]) == 0
    card = str(tmp_path / "track-lorat-s.toml")
    words = ["-o", str(tmp_path / "t.csv"), "--box", "20,20,24,24", "--weights", card, "--threads", "1"]
    assert main(["video", "track", str(data / "clip.mp4"), *words]) == 0
    rows = read_tracks(tmp_path / "t.csv")
    assert len(rows) == 20 and {row.state for row in rows} <= {"tracked", "uncertain", "lost"}
    assert main(["video", "track", str(data / "clip.mp4"), *words[:-3], "trees-neon", "--overwrite"]) == 4
    student = ["--data", str(data), "-o", str(tmp_path / "half"), "--steps", "1", "--batch", "2"]
    assert main(["video", "train", "track", *student, "--teacher", "trees-neon"]) == 4
    exported: list[Any] = []
    monkeypatch.setattr(train_track, "export", lambda *parts: exported.extend(parts) or tmp_path)
    assert main(["video", "train", "track", *student, "--teacher", card]) == 0
    module, facts, _, name = exported
    assert module.config.depth == load_card(card).config["depth"] // 2
    assert "--teacher" in facts["command"] and name == "track-lorat-xs"


def test_flow_follows_what_moves() -> None:
    pictures, boxes = squares(frames=6)
    grey = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8) for picture in pictures]
    x, y, w, h = boxes[0]
    path = follow_boxes(grey, np.array([[x, y, x + w, y + h]]))[0]
    assert len(path) == 6
    assert np.allclose(path[-1][:2], boxes[5][:2], atol=1.5)


def test_tracks_are_found_without_labels(data: Path) -> None:
    tracks = read_tracks_of_clips([data / "clip.mp4"], seed=0)
    assert tracks and all(len(track) >= 4 for track in tracks)
