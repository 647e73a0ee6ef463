"""Every bad file through `doc ocr`: one line that names it and exit code 3, or a page read; never harm to an output."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pikepdf
import pytest

from fakes.bad_documents import BAD_DOCUMENTS
from fakes.bad_files import BAD_FILES
from fakes.page_reading import Reading
from fakes.pdfs import scan_pdf
from vitapps.apps.main import main
from vitapps.apps.terminal import printable
from vitapps.datasets.formats.page_json import read_pages
from vitapps.pipelines.document.page_source import is_folder

OLD = b"an earlier result"
OF_OTHERS = (".nii", ".nrrd", ".mha", ".dcm", "dicom", "series", "gzip")  # formats that no command of documents knows
NAMES = [name for name in BAD_FILES if not any(part in name for part in OF_OTHERS)]


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("name", NAMES)
def test_bad_file(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    path = BAD_FILES[name].make(tmp_path / "in")
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "out.txt"
    folder = is_folder(path)
    if not folder:
        target.write_bytes(OLD)
    code = main(["doc", "ocr", str(path), "-o", str(target.parent if folder else target), "--overwrite", "--quiet"])
    shown = capfd.readouterr()
    assert code in (0, 3, 6) and "Traceback" not in shown.err
    if code == 3:
        (line,) = [line for line in shown.err.splitlines() if line.startswith("vitapps: error: ")]
        assert (BAD_FILES[name].named or printable(path.name)) in line
        assert folder or (os.listdir(target.parent) == ["out.txt"] and target.read_bytes() == OLD)


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_broken_documents(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, one line that names the file, a hint; an earlier output stays as it was, and nothing is left."""
    (tmp_path / name).write_bytes(BAD_DOCUMENTS[name])
    for out in ("out.txt", "out.pdf"):
        (tmp_path / out).write_bytes(OLD)
        assert main(["doc", "ocr", str(tmp_path / name), "-o", str(tmp_path / out), "--overwrite", "--quiet"]) == 3
        shown = capsys.readouterr().err
        (line,) = [line for line in shown.splitlines() if line.startswith("vitapps: error: ")]
        assert name in line and "hint: " in shown and "Traceback" not in shown and "Success" not in shown
        assert (tmp_path / out).read_bytes() == OLD
    assert sorted(os.listdir(tmp_path)) == sorted([name, "out.pdf", "out.txt"])


def test_there_are_enough_of_them() -> None:
    assert len(BAD_DOCUMENTS) >= 40


@pytest.mark.usefixtures("reading")
def test_a_picture_of_no_numbers_is_a_blank_page(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((40, 60), np.nan, np.float32)).save(tmp_path / "nan.tif")
    assert main(["doc", "ocr", str(tmp_path / "nan.tif"), "-o", str(tmp_path / "out.json"), "--quiet"]) == 0
    assert read_pages(tmp_path / "out.json")[0].width == 60


@pytest.mark.usefixtures("reading")
def test_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, a pipe that nobody writes to, a device, a link to itself."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "circle.pdf").symlink_to(tmp_path / "circle.pdf")
    for name in (tmp_path / "absent.pdf", tmp_path / "pipe.png", tmp_path / "circle.pdf", Path("/dev/null")):
        assert main(["doc", "ocr", str(name), "-o", str(tmp_path / "out.txt"), "--quiet"]) == 3
        assert name.name in capsys.readouterr().err
    assert not (tmp_path / "out.txt").exists()


def test_a_damaged_page_is_not_lost(tmp_path: Path, reading: Reading) -> None:
    pdf = pikepdf.new()
    parts = [scan_pdf(width=200, height=300) for _ in range(3)]
    for part in parts:
        pdf.pages.append(part.pages[0])
    pdf.pages[1].obj.MediaBox = pikepdf.Array([0, 0, 0, 0])
    pdf.pages[1].obj.Contents = pikepdf.Array([pdf.make_stream(b"q ( unbalanced \\")])
    stream = io.BytesIO()
    pdf.save(stream)
    (tmp_path / "odd.pdf").write_bytes(stream.getvalue())
    assert main(["doc", "ocr", str(tmp_path / "odd.pdf"), "-o", str(tmp_path / "out.json"), "--quiet"]) == 0
    assert [page.number for page in read_pages(tmp_path / "out.json")] == [1, 2, 3]
    assert main(["doc", "ocr", str(tmp_path / "odd.pdf"), "-o", str(tmp_path / "out.pdf"), "--quiet"]) == 0
    with pikepdf.open(tmp_path / "out.pdf") as again:
        assert len(again.pages) == 3


@pytest.mark.parametrize("size", [(1, 1), (30_000, 40), (40, 30_000)])
def test_odd_sizes_are_read(size: tuple[int, int], tmp_path: Path, reading: Reading) -> None:
    from PIL import Image

    Image.new("L", size, 200).save(tmp_path / "odd.png")
    for out in ("out.json", "out.pdf"):
        assert main(["doc", "ocr", str(tmp_path / "odd.png"), "-o", str(tmp_path / out), "--quiet"]) == 0
    assert (read_pages(tmp_path / "out.json")[0].width, read_pages(tmp_path / "out.json")[0].height) == size
