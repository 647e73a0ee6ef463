"""Many objects: association, and its scores beside those of motmetrics and of hand-made cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fakes.clips import grey_frame, write_clip
from vitapps.apps.main import main
from vitapps.datasets.formats.tracks import TrackMeta, TrackRow, read_tracks, write_tracks
from vitapps.datasets.formats.video_read import ClipMeta, open_clip
from vitapps.datasets.formats.video_write import open_writer
from vitapps.errors import MissingError, UsageError
from vitapps.pipelines.video.associate import AssociateSettings
from vitapps.pipelines.video.evaluate_mot import score
from vitapps.pipelines.video.mot import MotSettings, associate, association, check_drawing, rows_of
from vitapps.pipelines.video.mot_detections import NOTHING, by_frame
from vitapps.pipelines.video.mot_scores import Boxes, mot_scores
from vitapps.pipelines.video.yolo import decode
from vitapps.provenance import sha256_files


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
    boxes = by_frame(found)
    frames = [(boxes.get(place, NOTHING), None) for place in range(30)]
    rows = rows_of(associate(frames, settings.associate), settings)
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
    assert main(["video", "mot", str(tmp_path / "a.mp4"), *words, "--set", "strong=2"]) == 2


def test_settings_of_the_association_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert association(["weak=0.3", "keep=40"]) == AssociateSettings(weak=0.3, keep=40)
    for wrong in ("near=1", "keep=1.5", "weak", "weak=much"):
        assert main(["video", "mot", "a.mp4", "-o", "o.txt", "--set", wrong]) == 2
        assert "--set" in capsys.readouterr().err


def test_a_part_of_the_clip_by_its_timestamps(tmp_path: Path) -> None:
    """Frames are late in the middle of the clip: seconds, not numbers, say where the part lies."""
    _, found = walkers(frames=20, jitter=0.0)
    times = [number / 25 + (1.0 if number >= 10 else 0.0) for number in range(20)]
    write_clip(tmp_path / "a.mp4", times=times, size=(256, 128))
    write_tracks(tmp_path / "d.csv", found, TrackMeta(), "csv")
    words = [str(tmp_path / "a.mp4"), "--detections", str(tmp_path / "d.csv"), "-o", str(tmp_path / "o.csv")]
    assert main(["video", "mot", *words, "--start", "1.2", "--end", "1.72", "--stride", "2"]) == 0
    rows = read_tracks(tmp_path / "o.csv")
    assert sorted({row.frame for row in rows}) == [10, 12, 14, 16]
    assert {round(row.time_s - times[row.frame], 3) for row in rows} == {0.0}
    assert {row.id for row in rows} == {1, 2}
    for wrong in (["--stride", "0"], ["--start", "2", "--end", "1"], ["--start", "-1"]):
        assert main(["video", "mot", *words, "--overwrite", *wrong]) == 2
    assert main(["video", "mot", *words, "--overwrite", "--start", "9"]) == 3
    assert read_tracks(tmp_path / "o.csv") == rows, "what went wrong left the older output alone"


def test_the_record_names_clip_decoder_and_what_was_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (0, 1, 2, 5):
        Image.fromarray(grey_frame(number)).save(tmp_path / f"f{number}.png")
    (tmp_path / "d.txt").write_text("1,-1,1,1,5,5,0.9\n")
    words = [str(tmp_path / "f%d.png"), "--detections", str(tmp_path / "d.txt"), "-o", str(tmp_path / "o.csv")]
    assert main(["video", "mot", *words, "--video", str(tmp_path / "o.mp4")]) == 0
    assert capsys.readouterr().err.count("numbers are missing") == 1, "the drawing pass does not say it again"
    record = json.loads((tmp_path / "o.csv.run.json").read_text())
    assert record["options"]["decoder"] == "pictures" and record["options"]["decoder_reason"]
    digest = record["inputs"][str(tmp_path / "f%d.png")]
    assert digest == sha256_files([tmp_path / f"f{number}.png" for number in (0, 1, 2, 5)])
    assert len(record["inputs"]) == 2 and "2 numbers are missing" in record["warnings"][0]
    with open_clip(tmp_path / "o.mp4") as drawn:
        assert np.allclose(drawn.times(), np.array([0, 1, 2, 5]) / 25)


def test_a_live_stream_is_not_drawn_afterwards() -> None:
    live = ClipMeta(source="rtsp://camera/1", width=64, height=48)
    for meta, settings in (
        (live, MotSettings()),
        (replace(live, duration_s=3.0), MotSettings(preview=True)),
        (replace(live, source="a.mp4"), MotSettings(preview=True)),
    ):
        check_drawing(meta, settings)
    with pytest.raises(UsageError, match="second time"):
        check_drawing(live, MotSettings(preview=True))


def test_without_detections_what_moves_is_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(40, 120, (12, 16, 3)).astype(np.uint8), (256, 192), interpolation=cv2.INTER_CUBIC)
    with open_writer(tmp_path / "a.mp4", quality=10) as writer:
        for number in range(30):
            picture = ground.copy()
            picture[20:60, 10 + 6 * number : 34 + 6 * number] = (230, 60, 40)
            picture[110:150, 200 - 5 * number : 230 - 5 * number] = (30, 220, 90)
            writer.add(picture, number / 25)
    out = tmp_path / "o.csv"
    assert main(["video", "mot", str(tmp_path / "a.mp4"), "-o", str(out), "--detect-weights", "moving"]) == 0
    assert capsys.readouterr().err.count("what moves") == 1
    rows = read_tracks(out)
    assert {row.id for row in rows} == {1, 2} and len(rows) >= 50
    first = next(row for row in rows if row.frame == 15 and row.y < 80)
    assert abs(first.x - 100) < 6 and abs(first.w - 24) < 8 and abs(first.h - 40) < 8


def test_detections_by_a_yolo_graph(tmp_path: Path) -> None:
    """A graph that always says the same: two boxes of one person and a dog, in the newer and in the older layout."""
    newer = np.zeros((1, 6, 8), np.float32)  # 4 + two classes, 8 candidates
    newer[0, :, 0] = (40, 24, 20, 32, 0.9, 0.0)
    newer[0, :, 1] = (41, 24, 20, 32, 0.7, 0.0)
    newer[0, :, 2] = (10, 10, 8, 8, 0.0, 0.8)
    older = np.zeros((1, 8, 7), np.float32)
    older[0, 0] = (40, 24, 20, 32, 0.9, 1.0, 0.0)
    write_clip(tmp_path / "a.mp4", frames=5, size=(128, 96))
    for name, table in (("newer", newer), ("older", older)):
        path = constant_graph(tmp_path / f"{name}.onnx", table)
        words = ["--detect-weights", str(path), "-o", str(tmp_path / f"{name}.csv"), "--no-smooth"]
        assert main(["video", "mot", str(tmp_path / "a.mp4"), *words]) == 0
        rows = read_tracks(tmp_path / f"{name}.csv")
        assert [row.frame for row in rows] == [0, 1, 2, 3, 4] and {row.id for row in rows} == {1}
        assert (rows[0].x, rows[0].y, rows[0].w, rows[0].h) == pytest.approx((60, 16, 40, 64), abs=0.01)
    with pytest.raises(MissingError, match="0 to 1"):
        decode(40 * newer)
    assert main(["video", "mot", str(tmp_path / "a.mp4"), "--detect-weights", "none.onnx", "-o", "x.csv"]) == 4


def constant_graph(path: Path, table: np.ndarray) -> Path:
    """An ONNX file that takes a picture of 64 x 64 and gives `table`."""
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["table", "nothing"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes, "constant", [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(table.shape))],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.zeros((), np.float32), "zero")],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


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
