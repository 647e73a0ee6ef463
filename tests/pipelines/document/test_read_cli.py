"""`vitapps doc read`, `synth`, `eval-lines`, `train recognizer` from the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitapps.apps.main import main
from vitapps.datasets.sets.text_lines import read_labelled_lines
from vitapps.datasets.synth.text.fonts import find_faces
from vitapps.datasets.synth.text.render import Run, draw_line
from vitapps.errors import UnreadableInputError

CPU = ["--threads", "1", "--engine", "openvino"]


@pytest.fixture(autouse=True)
def few_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dictionaries of this machine take seconds to read."""
    for name in ("DICTIONARIES", "FORTUNES"):
        monkeypatch.setattr(f"vitapps.datasets.synth.text.words.{name}", tmp_path / "none")


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    runs = [Run(word=word, face=find_faces(())[0]) for word in ("Amount", "12.50")]
    path = tmp_path / "crop.png"
    Image.fromarray(255 - draw_line(runs, 32).ink[8:-6]).save(path)
    return path


def test_read_prints_a_line_for_each_crop(crop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", "read", str(crop), str(crop), *CPU]) == 0
    assert capsys.readouterr().out == "Amount 12.50\n" * 2
    assert main(["doc", "read", str(crop), "--json", *CPU]) == 0
    result = json.loads(capsys.readouterr().out)
    words = result["lines"][0]["reading"]["words"]
    assert [word["text"] for word in words] == ["Amount", "12.50"] and words[0]["x1"] < words[1]["x0"]
    assert [network["name"] for network in result["networks"]] == ["line-latin", "line-latin-words"]


def test_a_fused_reading_stands_beside_its_parts(
    crop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert main(["doc", "read", str(crop), "-w", "line-latin-words", *CPU]) == 0
    assert capsys.readouterr().out == "Amount 12.50\n"
    (tmp_path / "crop.gt.txt").write_text("Amount 12.50\n", encoding="utf-8")
    assert main(["doc", "eval-lines", "--data", str(tmp_path), "-w", "line-latin-words", "--json", *CPU]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["engine"].strip() for row in rows] == ["vitapps", "ctc", "chars", "bpe", "wordpiece"]
    assert rows[0]["folded"]["edits"] == rows[1]["folded"]["edits"] == 0


def test_words_are_read_again_without_torch(crop: Path) -> None:
    code = """
import dataclasses, sys
from pathlib import Path
from vitapps.datasets.formats.picture import read_picture
from vitapps.options import RunOptions
from vitapps.pipelines.document.recognise import Recogniser
reader = Recogniser.load("line-latin-words", RunOptions(threads=1, engine="openvino"))
every = dataclasses.replace(reader, fuse=dataclasses.replace(reader.fuse, sure=0.0))
print(every.read([read_picture(Path(sys.argv[1])).pixels])[0].text, [facts.name for facts in reader.networks])
print(sorted({"torch", "tokenizers", "transformers", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, str(crop)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["Amount 12.50 ['line-latin', 'line-latin-words']", "[]"]


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_bad_crop_is_one_line_and_exit_3(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    assert main(["doc", "read", str(path), *CPU]) == 3
    out, err = capsys.readouterr()
    assert out == "" and "bad.png" in err and "Traceback" not in err


def test_lines_are_scored_in_every_layout(crop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs, boxes, listed = (tmp_path / name for name in ("pairs", "boxes", "listed"))
    for folder in (pairs, boxes, listed):
        folder.mkdir()
        shutil.copy(crop, folder / "a.png")
    (pairs / "a.gt.txt").write_text("Amount 12.60\n", encoding="utf-8")
    width, height = Image.open(crop).size
    (boxes / "a.csv").write_text(f"0,0,{width},0,{width},{height},0,{height},Amount, 12.50\nbroken\n", encoding="utf-8")
    (listed / "labels.json").write_text(json.dumps([{"file": "a.png", "text": "Amount 12.50"}]), encoding="utf-8")
    assert [line.text for folder in (pairs, boxes, listed) for line in read_labelled_lines(folder)] == [
        "Amount 12.60", "Amount, 12.50", "Amount 12.50",
    ]  # fmt: skip
    assert main(["doc", "eval-lines", "--data", str(pairs), "--json", *CPU]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert (row["lines"], row["folded"]["edits"], row["folded"]["length"]) == (1, 1, 12)
    (listed / "labels.json").write_text('{"no": 1}', encoding="utf-8")
    with pytest.raises(UnreadableInputError, match=r"labels\.json"):
        read_labelled_lines(listed)


def test_a_folder_without_lines_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doc", "eval-lines", "--data", str(tmp_path), *CPU]) == 3
    assert main(["doc", "eval-lines", "--data", str(tmp_path / "none"), *CPU]) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_samples_come_with_their_text_and_are_not_clobbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitapps.pipelines.document.synth_samples.find_faces", lambda: find_faces(()))
    out = tmp_path / "lines"
    assert main(["doc", "synth", "-o", str(out), "-n", "3"]) == 0
    samples = read_labelled_lines(out)
    assert len(samples) == 3 and all(sample.text for sample in samples)
    first = (out / "00000.png").read_bytes()
    assert main(["doc", "synth", "-o", str(out), "-n", "1", "--seed", "9"]) == 5
    assert (out / "00000.png").read_bytes() == first


def test_lines_and_pages_as_a_camera_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitapps.pipelines.document.synth_samples.find_faces", lambda: find_faces(()))
    monkeypatch.setattr("vitapps.datasets.synth.page_sheet.installed_faces", lambda: find_faces(()))
    assert main(["doc", "synth", "-o", str(tmp_path / "plain"), "-n", "2"]) == 0
    assert main(["doc", "synth", "-o", str(tmp_path / "seen"), "-n", "2", "--camera", "1"]) == 0
    for name in ("00000", "00001"):
        plain, seen = (tmp_path / part / name for part in ("plain", "seen"))
        assert plain.with_suffix(".gt.txt").read_text() == seen.with_suffix(".gt.txt").read_text()
        assert plain.with_suffix(".png").read_bytes() != seen.with_suffix(".png").read_bytes()
    assert main(["doc", "synth", "-o", str(tmp_path / "photo"), "-n", "1", "--kind", "photo"]) == 0
    with Image.open(tmp_path / "photo" / "00000.png") as photo:
        assert photo.mode == "RGB"
    for wrong in (["--kind", "photo", "--regions"], ["--kind", "page", "--camera", "0.5"]):
        assert main(["doc", "synth", "-o", str(tmp_path / "no"), "-n", "1", *wrong]) == 2


def test_pages_are_drawn_with_their_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitapps.datasets.synth.journal_pages.installed_faces", lambda: find_faces(()))
    out = tmp_path / "pages"
    assert main(["doc", "synth", "-o", str(out), "-n", "1", "--kind", "journal", "--regions", "--strength", "0"]) == 0
    assert {path.name for path in out.iterdir()} == {"00000.png", "00000.gt.txt", "00000.png.preview.png"}
    with Image.open(out / "00000.png.preview.png") as drawn:
        assert drawn.mode == "RGB" and np.asarray(drawn).std(axis=2).max() > 50  # coloured frames
    assert main(["doc", "synth", "-o", str(tmp_path / "lines"), "--regions"]) == 2


def test_two_steps_of_training_leave_a_card_that_reads(
    crop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vitapps.pipelines.document import train_recogniser
    from vitapps.pipelines.document.line_batches import tokens_needed
    from vitapps.pipelines.document.recognise import Recogniser

    assert tokens_needed("hello") == 6
    monkeypatch.setattr(train_recogniser, "find_faces", lambda: find_faces(()))
    config = train_recogniser.LineFit(steps=2, batch=2, generators=0, held_out=3)
    words = tmp_path / "words.txt"
    words.write_text("one\ntwo\nthree\n", encoding="utf-8")
    card = train_recogniser.train(tmp_path / "run", word_list=words, config=config)
    found = Recogniser.load(str(card)).read([np.asarray(Image.open(crop).convert("RGB"))])
    assert len(found) == 1
