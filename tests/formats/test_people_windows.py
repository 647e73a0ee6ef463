"""Frames with marked people: the marks as they are kept, and windows that are cut from such frames."""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from vitapps.datasets.formats.video_write import open_writer
from vitapps.datasets.sets.people_in_clips import MarkedFrame, read_marked_frames
from vitapps.datasets.synth.people_windows import PeopleWindows
from vitapps.errors import UnreadableInputError


def test_no_recording_is_in_two_splits_and_boxes_have_sides() -> None:
    text = (files("vitapps.datasets.sets") / "people_boxes.csv").read_text()
    lines = list(csv.DictReader(text.splitlines()))
    frames = {(line["clip"], line["frame"], line["split"]) for line in lines}
    assert len({frame[:2] for frame in frames}) == len(frames)
    splits = {name: {line["clip"] for line in lines if line["split"] == name} for name in ("train", "checked", "kept")}
    assert all(splits.values()) and sum(map(len, splits.values())) == len(set.union(*splits.values()))
    boxes = np.array([[int(line[key]) for key in "xywh"] for line in lines if line["kind"] != "none"])
    assert boxes.min() >= 0 and boxes[:, 2:].min() > 5


def test_frames_are_read_with_their_marks(tmp_path: Path) -> None:
    folder = tmp_path / "action/fight_surv/noFight"
    folder.mkdir(parents=True)
    with open_writer(folder / "nofi039.mp4", quality=10) as writer:
        for number in range(12):
            writer.add(np.full((64, 96, 3), 20 * number, np.uint8), number / 25)
    frames = read_marked_frames(tmp_path, "train")
    assert [(frame.number, frame.boxes.shape) for frame in frames] == [(1, (1, 4)), (9, (1, 4))]
    assert abs(float(frames[1].pixels.mean()) - 180) < 8 and frames[1].boxes[0].tolist() == [448, 128, 649, 453]
    with pytest.raises(UnreadableInputError, match="marked"):
        read_marked_frames(tmp_path, "kept")


def test_windows_show_whom_they_say() -> None:
    """A frame whose only person is a bright block: its box holds the brightness, wherever the window lies."""
    pixels = np.full((360, 640, 3), 40, np.uint8)
    pixels[120:280, 300:360] = 230
    pixels[300:330, 20:60] = 140
    one = MarkedFrame(
        path=Path("x"), number=0, pixels=pixels, boxes=np.array([[300, 120, 360, 280]], np.float32),
        ignored=np.array([[20, 300, 60, 330]], np.float32),
    )  # fmt: skip
    windows, seen, cut_off, beside = PeopleWindows(frames=[one]), 0, 0, 0
    for seed in range(60):
        scene = windows.make(seed)
        assert scene.pixels.shape == (256, 256, 3) and np.array_equal(scene.pixels, windows.make(seed).pixels)
        cut_off, beside = cut_off + (len(scene.boxes) == 0), beside + len(scene.ignored)
        for x0, y0, x1, y1 in scene.boxes.round().astype(int):
            inside = scene.pixels[y0:y1, x0:x1].mean()
            outside = scene.pixels[max(0, y0) : y1, max(0, x0 - 12) : max(0, x0 - 4)]
            assert not outside.size or abs(float(inside) - float(outside.mean())) > 25
            seen += 1
    assert seen > 30 and cut_off > 0 and beside > 0
