"""Track files: what is written is what is read, and faults name their line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitapps.datasets.formats.mask_series import (
    decode_rle,
    encode_rle,
    read_index_png,
    voc_palette,
    write_index_png,
)
from vitapps.datasets.formats.tracks import TrackFormat, TrackMeta, TrackRow, choose_format, read_tracks, write_tracks
from vitapps.errors import UnreadableInputError, UsageError

ROWS = [
    TrackRow(frame=0, time_s=0.0, id=1, x=1.5, y=2.0, w=10.0, h=20.25, score=0.9, label="car"),
    TrackRow(frame=0, time_s=0.0, id=2, x=5.0, y=6.0, w=7.0, h=8.0, score=0.5, state="uncertain"),
    TrackRow(frame=3, time_s=0.12, id=1, x=4.5, y=2.0, w=10.0, h=20.0, score=0.25, state="uncertain", label="car"),
]
META = TrackMeta(source="a.mp4", width=64, height=48, rate=25.0, frames=4)


@pytest.mark.parametrize("form", ["csv", "mot", "json", "jsonl", "coco"])
def test_what_is_written_is_read(tmp_path: Path, form: TrackFormat) -> None:
    write_tracks(tmp_path / "t", ROWS[::-1], META, form)
    found = read_tracks(tmp_path / "t")
    keys = [(row.frame, row.id, row.x, row.y, row.w, row.h, row.score) for row in ROWS]
    assert [(row.frame, row.id, row.x, row.y, row.w, row.h, row.score) for row in found] == keys
    if form != "mot":
        assert [row.state for row in found] == [row.state for row in ROWS]


def test_mot_counts_from_one_and_claims_nothing_of_the_lost(tmp_path: Path) -> None:
    write_tracks(tmp_path / "t", [*ROWS, TrackRow(frame=4, id=1, x=0, y=0, w=1, h=1, state="lost")], META, "mot")
    assert (tmp_path / "t").read_text().splitlines()[0] == "1,1,1.50,2.00,10.00,20.25,0.9000,-1,-1,-1"
    assert len((tmp_path / "t").read_text().splitlines()) == 3


def test_coco_results_and_other_spellings(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps([{"image_id": 4, "bbox": [1, 2, 3, 4], "score": 0.5}]))
    row = read_tracks(tmp_path / "r.json")[0]
    assert (row.frame, row.id, row.w, row.score) == (4, -1, 3, 0.5)
    (tmp_path / "d.csv").write_text("frame,x,y,w,h\n7,1,2,3,4\n")
    assert read_tracks(tmp_path / "d.csv")[0].frame == 7


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "empty"), ("1,2,3\n", "line 1"), ("1,-1,a,b,c,d\n", "column"), ("frame,x\n1,2\n", "column"),
     ("1,1,0,0,nan,5\n", "line 1"), ("{", "line 1"), ('{"a": 1}', "number"), ('[3]', "entry 1")],
)  # fmt: skip
def test_faults_name_the_file_and_the_place(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(UnreadableInputError, match=r"bad\.txt") as error:
        read_tracks(tmp_path / "bad.txt")
    assert fault in error.value.message


def test_a_suffix_that_says_nothing() -> None:
    assert choose_format(Path("a.txt")) == "mot"
    with pytest.raises(UsageError):
        choose_format(Path("a.xyz"))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_run_lengths_come_back(rows: list[list[bool]]) -> None:
    mask = np.array(rows)
    code = encode_rle(mask)
    assert (decode_rle(code) == mask).all()


def test_run_lengths_are_those_of_coco() -> None:
    from pycocotools import mask as coco

    rng = np.random.default_rng(0)
    mask = rng.random((7, 5)) > 0.5
    code = encode_rle(mask)
    assert (coco.decode(coco.frPyObjects(code, 7, 5)) == mask).all()
    with pytest.raises(UnreadableInputError):
        decode_rle({"size": [2, 2], "counts": [3]})


def test_mask_pictures(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    write_index_png(tmp_path / "m.png", labels)
    assert (read_index_png(tmp_path / "m.png") == labels).all()
    assert voc_palette()[[1, 2, 255]].tolist() == [[128, 0, 0], [0, 128, 0], [224, 224, 192]]
    from PIL import Image

    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "g.png")
    assert read_index_png(tmp_path / "g.png").tolist() == [[0, 1]]
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableInputError, match=r"x\.png"):
        read_index_png(tmp_path / "x.png")
