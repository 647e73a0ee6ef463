"""Task `doc.ocr` of a batch: the same as the command, with the reader loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.page_reading import TEXT, Reading
from fakes.pdfs import jpeg
from vitapps.errors import UsageError
from vitapps.pipelines.batch.task import Item, TaskSpec, find_task


def test_a_document_is_read(tmp_path: Path, reading: Reading) -> None:
    task = find_task("doc.ocr")
    spec = TaskSpec(settings=task.Settings(format="txt", text="redo", pages="1"))
    (tmp_path / "scan.jpg").write_bytes(jpeg(220))
    item = Item(input=tmp_path / "scan.jpg", out=tmp_path / "scan_ocr.txt")
    done = task(spec)(item)
    assert item.out.read_text() == f"{TEXT}\n" and done.summary["words"] == 3
    assert [path.name for path in done.outputs] == ["scan_ocr.txt", "scan_ocr.txt.run.json"]
    assert task.extension(spec) == "_ocr.txt"
    words = task.words(spec, item)
    assert words[:2] == ["doc", "ocr"] and words[-3:] == ["--format=txt", "--redo", "--pages=1"]


def test_senseless_settings_are_refused_early() -> None:
    task = find_task("doc.ocr")
    with pytest.raises(UsageError, match="--dpi"):
        task.check(TaskSpec(settings=task.Settings(dpi=5.0)))
    assert task.extension(TaskSpec(settings=task.Settings())) == "_ocr.pdf"
