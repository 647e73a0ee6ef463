"""Bad clips, detections and masks through the video commands: one line that names the file, no harm to what exists."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from fakes.bad_clips import BAD_CLIPS, BAD_DETECTIONS, BAD_MASKS
from fakes.bad_files import BAD_FILES
from fakes.clips import write_clip
from vitapps.apps.main import main

OLD = b"an earlier result"
# what is bad about the others is the business of another format
OTHERS = ("dicom", "nifti", "nrrd", "mha", "raster", "tiff")
# pytest-xdist cannot send a report whose log holds a name that is not UTF-8; test_bad_inputs has a process for these
GENERAL = [name for name in BAD_FILES if name.split()[0] not in OTHERS and "UTF-8" not in name]
BOX = ["--box", "4,4,20,20"]


def check(words: Sequence[str], out: Path, named: str, codes: Sequence[int], capfd: pytest.CaptureFixture[str]) -> None:
    """The command ends as it should: right code, one error line with the file's name, a hint, the older output kept."""
    out.write_bytes(OLD)
    code = main([*words, "-o", str(out), "--overwrite", "--threads", "1"])
    shown = capfd.readouterr()
    assert code in codes, f"{code}: {shown.err}"
    assert "Traceback" not in shown.err
    if code == 0:
        return
    assert out.read_bytes() == OLD and os.listdir(out.parent) == [out.name]
    errors = [line for line in shown.err.splitlines() if line.startswith("vitapps: error: ")]
    assert len(errors) == 1 and named in errors[0], shown.err
    assert any(line.startswith("hint: ") for line in shown.err.splitlines())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "in").mkdir()
    return tmp_path / "out" / "o.csv"


@pytest.mark.parametrize("name", BAD_CLIPS)
def test_bad_clip(name: str, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, codes = BAD_CLIPS[name]
    clip = make(tmp_path / "in")
    for words in (["video", "track", str(clip), *BOX], ["video", "mot", str(clip)]):
        check(words, out, clip.name, codes, capfd)


@pytest.mark.parametrize("name", GENERAL)
def test_bad_file_as_a_clip(
    name: str, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = BAD_FILES[name].make(tmp_path / "in")
    check(["video", "track", str(path), *BOX], out, "", (0, 2, 3), capfd)


@pytest.mark.parametrize("name", BAD_DETECTIONS)
def test_bad_detections(name: str, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, codes = BAD_DETECTIONS[name]
    clip, path = write_clip(tmp_path / "a.mp4", frames=4), make(tmp_path / "in")
    check(["video", "mot", str(clip), "--detections", str(path)], out, path.name, codes, capfd)


@pytest.mark.parametrize("name", BAD_MASKS)
def test_bad_mask(name: str, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, codes = BAD_MASKS[name]
    clip, path = write_clip(tmp_path / "a.mp4", frames=4), make(tmp_path / "in")
    check(["video", "track", str(clip), "--mask", str(path)], out, path.name, codes, capfd)


def test_there_are_enough_of_them() -> None:
    assert len(BAD_CLIPS) + len(BAD_DETECTIONS) + len(BAD_MASKS) >= 40 and len(GENERAL) >= 50
