"""Every bad file through `doc ocr`: one line that names it and exit code 3, or a page read; never harm to an output."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pikepdf
import pytest

from fakes.bad_files import BAD_FILES
from fakes.page_reading import Reading
from fakes.pdfs import saved, scan_pdf, text_pdf
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


def png_bomb(width: int, height: int) -> bytes:
    """A header that claims a size, and almost nothing behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def looped() -> bytes:
    """A page tree whose node holds itself."""
    pdf = text_pdf()
    data = saved(pdf, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return data.replace(b"/Kids [ 3 0 R ]", b"/Kids [ 2 0 R ]")


BROKEN = {
    "bomb.png": png_bomb(200_000, 200_000), "long.png": png_bomb(30_000, 30_000),
    "zip.pdf": b"PK\3\4" + bytes(5000),
    "header.pdf": b"%PDF-1.7\n%%EOF", "cut.pdf": saved(scan_pdf())[:400],
    "looped.pdf": looped(), "fax.tif": b"II*\0" * 9,
}  # fmt: skip


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_documents(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(BROKEN[name])
    for out in ("out.txt", "out.pdf"):
        assert main(["doc", "ocr", str(tmp_path / name), "-o", str(tmp_path / out), "--quiet"]) == 3
        shown = capsys.readouterr().err
        assert name in shown and "hint: " in shown and "Traceback" not in shown
    assert os.listdir(tmp_path) == [name]


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
