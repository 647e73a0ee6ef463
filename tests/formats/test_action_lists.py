"""Replicas of the layouts of public action sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitapps.datasets.sets.action_lists import LabelledClip, group_folds, read_list
from vitapps.errors import UnreadableInputError


def lay_out(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_plain_lines_and_ucf101(tmp_path: Path) -> None:
    lay_out(tmp_path, "a.mp4", "b.mp4", "YoYo/v_YoYo_g08_c01.avi", "YoYo/v_YoYo_g08_c02.avi")
    (tmp_path / "list.txt").write_text("a.mp4 0\nb.mp4,wave hand\nmissing.mp4 1\n")
    assert [(clip.path.name, clip.label) for clip in read_list(tmp_path / "list.txt")] == [
        ("a.mp4", "0"), ("b.mp4", "wave hand")
    ]  # fmt: skip
    (tmp_path / "trainlist01.txt").write_text("YoYo/v_YoYo_g08_c01.avi 101\nYoYo/v_YoYo_g08_c02.avi 101\n")
    found = read_list(tmp_path / "trainlist01.txt")
    assert {clip.label for clip in found} == {"YoYo"}
    assert len({clip.group for clip in found}) == 1  # both are cut from one film


def test_kinetics(tmp_path: Path) -> None:
    lay_out(tmp_path, "arm wrestling/abc_000010_000020.mp4", "val/xyz.mp4")
    (tmp_path / "k.csv").write_text(
        "label,youtube_id,time_start,time_end,split\narm wrestling,abc,10,20,train\narm wrestling,xyz,0,10,val\n"
    )
    found = read_list(tmp_path / "k.csv", split="train")
    assert [clip.path.name for clip in found] == ["abc_000010_000020.mp4"]
    assert read_list(tmp_path / "k.csv", tmp_path / "val", split="val")[0].group == "xyz"


def test_something_something(tmp_path: Path) -> None:
    lay_out(tmp_path, "7.webm")
    rows = [{"id": "7", "label": "holding a cup", "template": "Holding [something]", "placeholders": ["a cup"]}]
    (tmp_path / "s.json").write_text(json.dumps(rows))
    assert read_list(tmp_path / "s.json")[0].label == "Holding something"


def test_hmdb51(tmp_path: Path) -> None:
    lay_out(tmp_path, "clips/run/one.avi", "clips/run/two.avi", "clips/run/off.avi")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "run_test_split1.txt").write_text("one.avi 1 \ntwo.avi 2 \noff.avi 0 \n")
    parts = {split: read_list(tmp_path / "splits", tmp_path / "clips", split=split) for split in ("train", "test", "")}
    assert [[clip.path.name for clip in part] for part in parts.values()] == [
        ["one.avi"], ["two.avi"], ["one.avi", "two.avi"]
    ]  # fmt: skip


def test_folds_keep_groups_whole_and_even() -> None:
    clips = [LabelledClip(path=Path(f"{n}.mp4"), label="x", group=f"g{n // 3}") for n in range(12)]
    folds = group_folds(clips, 2)
    assert sorted([*folds[0], *folds[1]]) == list(range(12))
    assert [len(fold) for fold in folds] == [6, 6]
    assert not {clips[n].group for n in folds[0]} & {clips[n].group for n in folds[1]}


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "no_label\n"), ("a.json", "{"), ("a.tsv", "clip\tx\n1\t2\n"), ("a.txt", "gone.mp4 1\n")],
)
def test_what_is_no_list_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableInputError, match=name):
        read_list(tmp_path / name)
    with pytest.raises(UnreadableInputError):
        read_list(tmp_path / "absent.txt")
