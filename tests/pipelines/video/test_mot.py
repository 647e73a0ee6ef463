"""Many objects: association, and its scores beside those of motmetrics and of hand-made cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fakes.clips import write_clip
from vitapps.apps.main import main
from vitapps.datasets.formats.tracks import TrackMeta, TrackRow, read_tracks, write_tracks
from vitapps.pipelines.video.associate import AssociateSettings
from vitapps.pipelines.video.evaluate_mot import score
from vitapps.pipelines.video.mot import MotSettings, associate, by_frame, rows_of
from vitapps.pipelines.video.mot_scores import Boxes, mot_scores


def walkers(frames: int = 30, jitter: float = 1.0, seed: int = 0) -> tuple[list[TrackRow], list[TrackRow]]:
    """Two people who cross: drawn rows, and detections with gaps and a false alarm."""
    rng = np.random.default_rng(seed)
    drawn, found = [], []
    for frame in range(frames):
        for number, (x, y) in enumerate(((10 + 5 * frame, 40.0), (160 - 5 * frame, 48.0)), 1):
            drawn.append(TrackRow(frame=frame, id=number, x=x, y=y, w=20, h=50))
            if number == 1 and 8 <= frame < 11:
                continue
            dx, dy = rng.normal(0, jitter, 2)
            found.append(TrackRow(frame=frame, x=x + dx, y=y + dy, w=20, h=50, score=0.9))
    found.append(TrackRow(frame=3, x=200, y=10, w=20, h=50, score=0.9))
    return drawn, found


def test_crossing_walkers_keep_their_numbers() -> None:
    drawn, found = walkers()
    settings = MotSettings(detections=Path("-"), associate=AssociateSettings(appearance=0))
    rows = rows_of(associate([(place, None) for place in range(30)], by_frame(found), settings.associate), settings)
    assert {row.id for row in rows} == {1, 2}
    assert len(rows) == 60, "gaps are filled, first sightings are written, the false alarm is not"
    scores = score(drawn, rows, 30)
    assert scores.switches == 0 and scores.idf1 == 1.0 and scores.mota == 1.0 and scores.hota > 0.8


def test_the_command_writes_no_row_without_an_owner(tmp_path: Path) -> None:
    _, found = walkers(frames=20)
    write_clip(tmp_path / "a.mp4", frames=20, size=(256, 128))
    write_tracks(tmp_path / "d.txt", found, TrackMeta(), "mot")
    words = ["--detections", str(tmp_path / "d.txt"), "--preview", "--video", str(tmp_path / "o.mp4")]
    assert main(["video", "mot", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "o.txt"), *words]) == 0
    rows = read_tracks(tmp_path / "o.txt")
    assert min(row.id for row in rows) == 1 and (tmp_path / "o.mp4").exists()
    assert (tmp_path / "o.txt.preview.png").exists()


def test_detections_of_another_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "a.mp4", frames=5)
    (tmp_path / "d.txt").write_text("9,-1,1,1,5,5,0.9\n")
    words = ["-o", str(tmp_path / "o.txt"), "--detections", str(tmp_path / "d.txt")]
    assert main(["video", "mot", str(tmp_path / "a.mp4"), *words]) == 3
    assert "the clip has 5" in capsys.readouterr().err
    assert main(["video", "mot", str(tmp_path / "a.mp4"), *words, "--strong", "2"]) == 2


def frames_of(rows: list[list[tuple[int, float]]]) -> list[Boxes]:
    """(id, x) a frame -> boxes of 10 x 10 at x."""
    return [
        Boxes(
            ids=np.array([number for number, _ in row], np.int64),
            boxes=np.array([[x, 0, x + 10, 10] for _, x in row], np.float64).reshape(-1, 4),
        )
        for row in rows
    ]


def test_hand_made_scores() -> None:
    drawn = frames_of([[(1, 0)], [(1, 0)], [(1, 0)], [(1, 0)]])
    same = mot_scores(drawn, drawn)
    assert (same.hota, same.mota, same.idf1, same.switches) == (1.0, 1.0, 1.0, 0)
    halves = mot_scores(drawn, frames_of([[(5, 0)], [(5, 0)], [(6, 0)], [(6, 0)]]))
    assert halves.switches == 1
    assert halves.mota == pytest.approx(3 / 4)
    assert halves.idf1 == pytest.approx(4 / 8)
    assert halves.ass_a == pytest.approx(2 / 4) and halves.det_a == 1.0  # each half shares 2 of 4 frames
    assert halves.hota == pytest.approx((2 / 4) ** 0.5)
    nothing = mot_scores(drawn, frames_of([[], [], [], []]))
    assert (nothing.hota, nothing.mota, nothing.idf1, nothing.misses) == (0.0, 0.0, 0.0, 4)
    extra = mot_scores(drawn, frames_of([[(1, 0), (2, 50)]] * 4))
    assert extra.mota == 0.0 and extra.det_a == pytest.approx(4 / 8)


def test_the_numbers_of_motmetrics() -> None:
    import motmetrics

    rng = np.random.default_rng(3)
    truth, tracks = [], []
    for _ in range(40):
        at = 40 * np.arange(4) + rng.uniform(0, 20, 4)  # apart: the two differ where one box fits several
        truth.append([(number, float(x)) for number, x in enumerate(at)])
        kept = rng.random(4) > 0.2
        swap = rng.permutation(4) if rng.random() < 0.1 else np.arange(4)
        tracks.append([(int(swap[n]) + 10, float(at[n] + rng.normal(0, 1.5))) for n in range(4) if kept[n]])
    drawn, found = frames_of(truth), frames_of(tracks)
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    from vitapps.pipelines.windows.boxes import box_iou

    for one, other in zip(drawn, found, strict=True):
        distance = 1 - box_iou(one.boxes, other.boxes)
        distance[distance > 0.5] = np.nan
        accumulator.update(one.ids.tolist(), other.ids.tolist(), distance)
    theirs = motmetrics.metrics.create().compute(
        accumulator, metrics=["mota", "idf1", "num_false_positives", "num_misses", "num_switches"], name="x"
    ).loc["x"]  # fmt: skip
    ours = mot_scores(drawn, found)
    assert ours.mota == pytest.approx(theirs["mota"], abs=1e-9)
    assert ours.idf1 == pytest.approx(theirs["idf1"], abs=1e-9)
    assert (ours.false_positives, ours.misses) == (theirs["num_false_positives"], theirs["num_misses"])
