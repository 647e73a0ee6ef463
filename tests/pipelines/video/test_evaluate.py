"""The tables of `video eval`: layouts of public benchmarks, scores by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes.clips import squares
from fakes.tracker_checkpoints import lorat_files, ostrack_file
from vitapps.apps.main import main
from vitapps.datasets.sets.tracking import read_boxes, read_sequences
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.video.track_baselines import baselines
from vitapps.pipelines.video.track_elsewhere import measured_elsewhere
from vitapps.pipelines.video.track_scores import track_scores


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sequence in each layout, six frames long."""
    folder = tmp_path_factory.mktemp("sequences")
    pictures, boxes = squares(frames=6)
    places = {
        "otb/A/img": ("otb/A/groundtruth_rect.txt", 1, "\t"),
        "got/B": ("got/B/groundtruth.txt", 1, ","),
        "vot/C/color": ("vot/C/groundtruth.txt", 0, ","),
        "davis/JPEGImages/480p/D": ("davis/boxes/D.txt", 0, ","),
    }
    for pixels, (truth, first, mark) in places.items():
        (folder / pixels).mkdir(parents=True)
        (folder / truth).parent.mkdir(exist_ok=True)
        lines = [mark.join(f"{value:g}" for value in (x + first, y + first, w, h)) for x, y, w, h in boxes]
        (folder / truth).write_text("\n".join(lines) + "\n")
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / pixels / f"{number:05d}.jpg", quality=95)
    return folder


def test_every_layout_is_read_with_its_own_origin(folder: Path) -> None:
    sequences = read_sequences(folder)
    assert [item.family for item in sequences] == ["OTB", "GOT-10k", "VOT", "DAVIS"]
    assert all((item.boxes == sequences[0].boxes).all() for item in sequences)
    assert sequences[0].boxes[0].tolist() == [20, 20, 24, 24]
    with pytest.raises(UnreadableInputError):
        read_sequences(folder / "otb" / "A" / "img")


def test_polygons_and_absent_objects(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("0,0,4,0,4,2,0,2\nnan,nan,nan,nan\n\n1 2 3 4\n")
    found = read_boxes(tmp_path / "g.txt")
    assert found[0].tolist() == [0, 0, 4, 2] and np.isnan(found[1:3]).all() and found[3].tolist() == [1, 2, 3, 4]
    (tmp_path / "g.txt").write_text("a,b,c,d\n")
    with pytest.raises(UnreadableInputError, match="line 1"):
        read_boxes(tmp_path / "g.txt")


def test_the_table_of_trackers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(folder), "--tracker", "vitapps", "--tracker", "static", "--tracker", "flow", "--json"]
    assert main(["video", "eval", "track", *words]) == 0
    shown = json.loads(capsys.readouterr().out)
    rows = {(row["tracker"], row["group"]): row for row in shown["rows"]}
    assert [curve["tracker"] for curve in shown["curves"]] == ["vitapps"]  # baselines give no score
    bins = shown["curves"][0]["bins"]
    assert sum(item["count"] for item in bins) == shown["curves"][0]["frames"] == 20
    assert bins[-1]["confidence"] > 0.8 and bins[-1]["right"] == 1
    assert rows["vitapps", "all"]["sequences"] == 4
    assert rows["vitapps", "all"]["scores"]["auc"] > 0.8 > rows["static", "all"]["scores"]["auc"]
    assert {group for _, group in rows} == {"all", "DAVIS", "OTB/VOT/GOT", "A", "B", "C", "D"}
    assert all(0 <= row["p50_ms"] <= row["p95_ms"] for row in rows.values())
    assert rows["vitapps", "all"]["p50_ms"] > 0
    assert shown["elsewhere"] == []  # measured on other sequences
    assert main(["video", "eval", "track", "--data", str(folder), "--tracker", "none"]) == 2
    assert main(["video", "eval", "track"]) == 2
    capsys.readouterr()
    assert main(["video", "eval", "track", "--generated", "1", "--tracker", "static"]) == 0
    assert "generated" in capsys.readouterr().out
    assert main(["video", "eval", "track", "--data", str(folder / "none")]) == 3


@pytest.mark.parametrize("name", ["mosse", "kcf"])
def test_the_correlation_filters_of_the_table(name: str) -> None:
    pictures, boxes = squares(frames=24, speed=(3.0, 2.0))
    first = np.array([20.0, 20, 44, 44])
    step = baselines()[name](pictures[0], first)
    for picture, (x, y, w, h) in zip(pictures[1:], boxes[1:], strict=True):
        assert np.abs(step(picture) - [x, y, x + w, y + h]).max() <= 2
    still = baselines()[name](pictures[0], first)
    assert np.abs(np.stack([still(pictures[0]) for _ in range(5)]) - first).max() <= 1


def test_what_was_measured_elsewhere_stands_beside_the_same_sequences_only() -> None:
    six = ["car-shadow", "kite-surf", "libby", "motocross-jump", "otb_Crossing", "vot2018_bag"]
    assert {item.tracker: item.auc for item in measured_elsewhere(six)}["cv2-contrib CSRT"] == 0.521
    assert measured_elsewhere(six[1:]) == measured_elsewhere([*six, "scene"]) == []


def test_a_published_network_follows_and_is_scored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Random weights find nothing; that they run through the command and the table is what is shown."""
    for files, spec in (lorat_files(tmp_path), ostrack_file(tmp_path)):
        assert files
        words = ["--data", str(folder / "otb"), "--tracker", "network", "--weights", spec, "--json"]
        assert main(["video", "eval", "track", *words]) == 0
        assert json.loads(capsys.readouterr().out)["rows"][0]["tracker"] == "network"
    out = tmp_path / "t.csv"
    words = [str(folder / "otb/A/img"), "--box", "20,20,24,24", "-o", str(out), "--weights", spec]
    assert main(["video", "track", *words]) == 0
    assert json.loads((tmp_path / "t.csv.run.json").read_text())["engine"] == "torch"
    assert main(["video", "track", *words[:-1], "ostrack:none.pth", "--overwrite"]) == 4


def test_scores_by_hand() -> None:
    drawn = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [np.nan] * 4, [0, 0, 10, 10]], np.float64)
    found = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [0, 0, 1, 1], [100, 0, 10, 10]], np.float64)
    scores = track_scores(found, drawn)  # overlaps 1, 1/3, 0
    assert scores.ao == pytest.approx((1 + 1 / 3) / 3)
    assert scores.sr50 == pytest.approx(1 / 3)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.auc == pytest.approx((20 + 7) / 3 / 21)  # 1 > 20 thresholds, 1/3 > 0 to 0.30, 0 > none


def test_many_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, identity in (("gt", 1), ("det", -1)):
        (tmp_path / "S" / name).mkdir(parents=True)
        lines = [f"{frame},{identity},{10 + 2 * frame},20,20,40,1,-1,-1,-1" for frame in range(1, 9)]
        (tmp_path / "S" / name / f"{name}.txt").write_text("\n".join(lines))
    assert main(["video", "eval", "mot", "--data", str(tmp_path), "--json"]) == 0
    rows = {row["tracker"]: row["scores"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["vitapps"]["idf1"] == rows["vitapps"]["mota"] == rows["ByteTrack"]["idf1"] == 1.0
    assert next(iter(rows)) == "vitapps" and {"SORT", "OC-SORT"} < set(rows)
    assert main(["video", "eval", "mot", "--data", str(tmp_path / "S" / "gt")]) == 3
