"""One object through a clip: it is followed, it is reported lost and found again, files appear whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes.clips import squares, write_clip
from vitapps.apps.main import main
from vitapps.datasets.formats.mask_series import write_index_png
from vitapps.datasets.formats.tracks import read_tracks
from vitapps.datasets.formats.video_read import open_clip
from vitapps.datasets.formats.video_write import open_writer
from vitapps.pipelines.video.single import SingleTracker
from vitapps.pipelines.video.track_scores import pair_iou


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clip.mp4`: a textured square on its way; `boxes.npy` where it is."""
    folder = tmp_path_factory.mktemp("clip")
    pictures, boxes = squares(frames=16)
    with open_writer(folder / "clip.mp4", quality=8) as writer:
        for number, picture in enumerate(pictures):
            writer.add(picture, number / 25)
    np.save(folder / "boxes.npy", np.array(boxes))
    return folder


def overlap_with(folder: Path, path: Path) -> float:
    rows = read_tracks(path)
    found = np.array([(row.x, row.y, row.w, row.h) for row in rows])
    return float(pair_iou(found, np.load(folder / "boxes.npy")[[row.frame for row in rows]]).min())


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".json", ".jsonl"])
def test_a_square_is_followed(folder: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / f"t{suffix}"
    assert main(["video", "track", str(folder / "clip.mp4"), "-o", str(out), "--box", "20,20,24,24", "--json"]) == 0
    assert overlap_with(folder, out) > 0.7
    said = json.loads(capsys.readouterr().out)
    assert (said["frames"], said["objects"], said["lost"]) == (16, 1, {"1": 0.0})
    record = json.loads((tmp_path / f"t{suffix}.run.json").read_text())
    assert record["results"]["p95_ms"] >= record["results"]["p50_ms"] > 0
    assert len(record["inputs"]) == 1


def test_everything_that_can_be_written(folder: Path, tmp_path: Path) -> None:
    words = ["-o", str(tmp_path / "t.csv"), "--video", str(tmp_path / "t.mp4"), "--preview"]
    clip = str(folder / "clip.mp4")
    assert main(["video", "track", clip, "--box", "20,20,24,24", "--box", "100,60,20,20", *words]) == 0
    with open_clip(tmp_path / "t.mp4") as drawn, open_clip(folder / "clip.mp4") as plain:
        assert np.allclose(drawn.times(), plain.times())
        assert (next(drawn.frames()).pixels != next(plain.frames()).pixels).mean() > 0.005
    assert Image.open(tmp_path / "t.csv.preview.png").size[0] == 1280
    assert {row.id for row in read_tracks(tmp_path / "t.csv")} == {1, 2}


def test_masks_points_and_times(folder: Path, tmp_path: Path) -> None:
    clip, boxes = str(folder / "clip.mp4"), np.load(folder / "boxes.npy")
    x, y, w, h = boxes[5].astype(int)
    labels = np.zeros((120, 160), np.uint8)
    labels[y : y + h, x : x + w] = 3
    write_index_png(tmp_path / "m.png", labels)
    assert (
        main(["video", "track", clip, "-o", str(tmp_path / "m.csv"), "--mask", str(tmp_path / "m.png"), "--at", "0.2"])
        == 0
    )
    assert [row.frame for row in read_tracks(tmp_path / "m.csv")] == list(range(5, 16))
    assert overlap_with(folder, tmp_path / "m.csv") > 0.7
    words = ["--point", f"{x + 12},{y + 12}", "--at", "0.2", "--end", "0.4", "--stride", "2"]
    assert main(["video", "track", clip, "-o", str(tmp_path / "p.csv"), *words]) == 0
    assert [row.frame for row in read_tracks(tmp_path / "p.csv")] == [5, 7, 9]


def test_every_object_begins_at_its_second(folder: Path, tmp_path: Path) -> None:
    clip, boxes = str(folder / "clip.mp4"), np.load(folder / "boxes.npy")
    x, y, w, h = boxes[10]
    words = ["--box", f"{x},{y},{w},{h}@0.4", "--point", f"{boxes[5][0] + 12},{boxes[5][1] + 12}@0.19"]
    words += ["--tracker", "filter", "-o", str(tmp_path / "t.csv"), "--video", str(tmp_path / "t.mp4")]
    assert main(["video", "track", clip, *words]) == 0
    rows = read_tracks(tmp_path / "t.csv")
    assert [row.frame for row in rows if row.id == 1] == list(range(10, 16))
    assert [row.frame for row in rows if row.id == 2] == list(range(5, 16))
    assert overlap_with(folder, tmp_path / "t.csv") > 0.6
    with open_clip(tmp_path / "t.mp4") as drawn:
        assert len(drawn.times()) == 11


def test_it_says_when_it_is_lost_and_finds_again() -> None:
    pictures, boxes = squares(frames=16)
    hidden = squares(frames=1, speed=(0, 0))[0][0].copy()
    hidden[20:44, 20:44] = hidden[60:84, 20:44]  # the ground alone
    x, y, w, h = boxes[0]
    tracker = SingleTracker(pictures[0], np.array([x, y, x + w, y + h]))
    for picture in pictures[1:8]:
        seen = tracker.update(picture)
        assert seen.state == "tracked" and seen.score > 0.6
    states = [tracker.update(hidden).state for _ in range(12)]
    assert states[0] != "tracked" and states[-1] == "lost"
    again = [tracker.update(pictures[8]) for _ in range(14)]
    assert again[-1].state == "tracked"
    assert pair_iou(_xywh(again[-1].box), np.array([boxes[8]]))[0] > 0.6


def _xywh(box: np.ndarray) -> np.ndarray:
    return np.array([[*box[:2], *(box[2:] - box[:2])]])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--box", "1,2,3"], 2), (["--box", "a,b,c,d"], 2), (["--box", "0,0,0,5"], 2), (["--box", "900,900,5,5"], 2),
        ([], 2), (["--point", "900,1"], 2), (["--box", "20,20,24,24", "--at", "60"], 3),
        (["--box", "20,20,24,24", "--stride", "0"], 2), (["--mask", "no.png"], 3),
        (["--box", "20,20,24,24", "--video", "x.avi"], 2), (["--box", "20,20,24,24@x"], 2),
        (["--box", "20,20,24,24@-1"], 2), (["--box", "20,20,24,24@"], 2), (["--point", "20,20@0.4", "--end", "0.4"], 2),
        (["--box", "20,20,24,24", "--box", "20,20,24,24@9"], 3), (["--box", "20,20,24,24@0.1", "--start", "0.2"], 2),
        (["--box", "20,20,24,24", "--end", "0"], 2),
    ],
)  # fmt: skip
def test_senseless_requests(
    folder: Path, tmp_path: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.csv"
    out.write_text("old")
    given = [str(tmp_path / word) if word.endswith((".png", ".avi")) else word for word in words]
    assert main(["video", "track", str(folder / "clip.mp4"), "-o", str(out), "--overwrite", *given]) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown and shown.splitlines()[-1].startswith("hint: ") and "None" not in shown
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_one_frame_alone_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--box", "20,20,24,24", "--stride", "1000", "--tracker", "filter", "--json"]
    assert main(["video", "track", str(folder / "clip.mp4"), "-o", str(tmp_path / "t.csv"), *words]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["warnings"] == ["one frame alone: nothing was followed"] and "--stride" in shown.err
    assert main(["video", "action", str(folder / "clip.mp4"), "--end", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == ["one frame alone: no motion to be seen"]


@pytest.mark.parametrize("content", [b"", b"no clip at all", b"\x00\x00\x00\x18ftypmp42" + bytes(200), None])
@pytest.mark.parametrize("verb", ["track", "mot"])
def test_bad_clips(
    tmp_path: Path, verb: str, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    (tmp_path / "d.txt").write_text("1,-1,1,1,5,5,0.9\n")
    extra = ["--box", "1,1,9,9"] if verb == "track" else ["--detections", str(tmp_path / "d.txt")]
    assert main(["video", verb, str(path), "-o", str(tmp_path / "o.csv"), *extra]) == 3
    shown = capsys.readouterr().err
    assert "Traceback" not in shown and "bad.mp4" in shown and not (tmp_path / "o.csv").exists()


def test_an_input_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    before = clip.read_bytes()
    words = ["--box", "20,20,24,24", "--overwrite"]
    assert main(["video", "track", str(clip), "-o", str(tmp_path / "o.csv"), "--video", str(clip), *words]) == 5
    assert clip.read_bytes() == before
