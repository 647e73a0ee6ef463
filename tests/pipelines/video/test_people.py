"""People in clips: what the finder doubts and what moves, the scores, training on a handful of drawn scenes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakes.poses import standing, write_poses
from vitapps.apps.main import main
from vitapps.datasets.formats.tracks import read_tracks
from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.formats.video_write import open_writer
from vitapps.datasets.synth.figures import draw_figure
from vitapps.pipelines.video.moving import MovingThings
from vitapps.pipelines.video.people import PeopleSearch, rescaled, upright
from vitapps.pipelines.video.people_scores import average_precision, best_threshold, people_scores
from vitapps.pipelines.video.two_pass import FrameFound, Pixels
from vitapps.pipelines.windows.box_counts import FoundBoxes
from vitapps.pipelines.windows.boxes import box_iou
from vitapps.shared_backbones.weights.cards import load_card


class _Found:
    """Stands for a search that always finds the same two boxes."""

    def steps(self, frames: list[Pixels]) -> list[FrameFound]:
        boxes = np.array([[10.0, 10, 30, 60], [100, 10, 120, 60]])
        return [FrameFound(boxes=boxes, scores=np.array([0.3, 0.5]), labels=np.zeros(2, np.int64), calls=1, tiles=1)]


class _Moves:
    """Stands for a still camera: the first box moves, and a third thing that nobody found."""

    def __init__(self, *, still: bool = True) -> None:
        self.still = still

    def mask(self, pixels: Pixels) -> Pixels | None:
        mask = np.zeros((50, 100), np.uint8)  # half of the frame's size
        mask[5:30, 5:15] = 1
        return mask if self.still else None

    def things(self, mask: np.ndarray, frame: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[10.0, 10, 30, 60], [150, 20, 170, 70], [40, 80, 100, 95]]), np.ones(3)


def test_motion_makes_firm_what_is_doubted_and_begins_nothing() -> None:
    frame = np.zeros((100, 200, 3), np.uint8)
    search = PeopleSearch(_Found(), 0.4, _Moves())  # type: ignore[arg-type]
    boxes, scores = search.find(frame)
    assert boxes[:, 0].tolist() == [10, 100, 150], "the box that lies is nobody"
    assert np.allclose(scores, [0.45 + 0.2, 0.5, 0.5])
    for moving in (None, _Moves(still=False)):
        alone = PeopleSearch(_Found(), 0.4, moving).find(frame)  # type: ignore[arg-type]
        assert len(alone[0]) == 2 and np.allclose(alone[1], [0.45, 0.6 + 0.4 / 6])
    assert np.allclose(rescaled(np.array([0.0, 0.4, 1.0]), 0.4), [0, 0.6, 1])
    assert len(upright(np.array([[0.0, 0, 10, 10], [0, 0, 10, 25], [0, 0, 10, 60]]))) == 1


def test_a_camera_that_moves_is_told_from_one_that_stands(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(30, 220, (12, 40, 3)).astype(np.uint8), (640, 192), interpolation=cv2.INTER_CUBIC)
    for name, step in (("still", 0), ("pans", 12)):
        with open_writer(tmp_path / f"{name}.mp4", quality=10) as writer:
            for number in range(20):
                picture = ground[:, step * number : step * number + 256].copy()
                picture[60:120, 10 * number : 10 * number + 25] = 250
                writer.add(picture, number / 25)
        with open_clip(tmp_path / f"{name}.mp4") as clip:
            assert MovingThings(clip).still == (name == "still")


def test_scores_of_boxes_by_hand() -> None:
    """Three are there; found: one well, one twice, one nowhere near."""
    drawn = np.array([[0.0, 0, 10, 20], [30, 0, 40, 20], [60, 0, 70, 20]])
    boxes = np.array([[0.0, 0, 10, 20], [30, 0, 40, 21], [30, 1, 40, 20], [90, 0, 99, 9]])
    frames = [FoundBoxes(boxes=boxes, scores=np.array([0.9, 0.8, 0.3, 0.7]), drawn=drawn)]
    assert average_precision(frames) == pytest.approx(2 / 3)
    found = people_scores(frames, 0.5)
    assert (found.recall, found.precision) == pytest.approx((2 / 3, 2 / 3))
    assert best_threshold(frames) == pytest.approx((0.8, 0.8))
    assert people_scores([]).ap50 == 0


def test_one_command_follows_who_walks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    figure = draw_figure(standing(), rng, tall=90)
    height, width = figure.alpha.shape
    ground = np.full((240, 400, 3), (120, 122, 118), np.uint8)
    ground[:70] = (170, 168, 160)
    share = figure.alpha[..., None]
    with open_writer(tmp_path / "walk.mp4", quality=10) as writer:
        for number in range(20):
            picture, x = ground.copy(), 20 + 15 * number
            place = np.s_[100 : 100 + height, x : x + width]
            picture[place] = (picture[place] * (1 - share) + figure.pixels * share).astype(np.uint8)
            writer.add(picture, number / 10)
    assert main(["video", "mot", str(tmp_path / "walk.mp4"), "-o", str(tmp_path / "o.csv")]) == 0
    rows = [row for row in read_tracks(tmp_path / "o.csv") if row.frame == 10]
    assert len(rows) == 1
    seen = np.array([[rows[0].x, rows[0].y, rows[0].x + rows[0].w, rows[0].y + rows[0].h]])
    assert box_iou(seen, np.array([[170.0, 100, 170 + width, 100 + height]]))[0, 0] > 0.5


def test_training_gives_a_card_that_finds_in_clips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    for folder in ("action/cmu_mocap", "action/fight_surv/noFight", "davis16/JPEGImages/480p/libby"):
        (data / folder).mkdir(parents=True)
    write_poses(data / "action/cmu_mocap/joints_30fps_mm.npz", sequences=1, frames=60)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (120, 160, 3)).astype(np.uint8)
    Image.fromarray(picture).save(data / "davis16/JPEGImages/480p/libby/00000.jpg")
    for name, frames in (("nofi051", 4), ("nofi039", 12), ("nofi009", 12)):  # marked in the last two: train, checked
        with open_writer(data / f"action/fight_surv/noFight/{name}.mp4") as writer:
            for number in range(frames):
                writer.add(picture, number / 25)
    from vitapps.pipelines.video import train_people

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_people, "FIGURES", 8)
        words = ["--data", str(data), "-o", str(tmp_path / "m"), "--steps", "2", "--batch", "1"]
        assert main(["video", "train", "people", *words]) == 0
    card = load_card(str(tmp_path / "m/people-finder.toml"))
    assert card.preprocess["share_of_frame"] and 0.05 <= card.labels[0]["threshold"] <= 0.95
    clip = data / "action/fight_surv/noFight/nofi051.mp4"
    capsys.readouterr()
    words = [str(clip), "-w", str(tmp_path / "m/people-finder.toml"), "-o", str(tmp_path / "d.csv"), "--json"]
    assert main(["video", "detect", *words]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 4
    assert main(["video", "train", "people", "--data", str(tmp_path / "m"), "-o", str(tmp_path / "n")]) != 0
    assert "poses" in capsys.readouterr().err or not (tmp_path / "n").exists()
