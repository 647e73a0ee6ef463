"""Pages of a PDF drawn and read, and files that are no such thing."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pikepdf
import pytest

from fakes.pdfs import LETTERS, saved, scan_pdf, text_pdf
from vitapps.datasets.formats import pdf_pages
from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.pdf_page_text import is_sound
from vitapps.datasets.formats.pdf_pages import open_pdf
from vitapps.errors import UnreadableInputError


def first(data: bytes, dpi: float | None = None, **options: str) -> tuple[np.ndarray, Page, pdf_pages.Pixels, bool]:
    with open_pdf(data, **options) as pages, pages.sheet(0) as sheet:
        pixels = sheet.pixels(dpi)
        return sheet.picture(pixels).pixels, sheet.text(pixels), pixels, sheet.is_scan


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_scan_is_drawn_pixel_by_pixel(rotate: int) -> None:
    drawn, page, pixels, is_scan = first(saved(scan_pdf(rotate=rotate, crop=30)))
    assert is_scan and not pixels.guessed and pixels.dpi == pytest.approx(100, abs=0.01)
    assert drawn.shape == ((1100, 850, 3) if rotate % 180 == 0 else (850, 1100, 3)) and page.blocks == ()
    upright = np.rot90(drawn, rotate // 90)  # counter-clockwise, back
    assert upright[100, 700].mean() < 40 and upright[800, 700].mean() > 200 and upright[800, 100].mean() < 130


def test_user_units_count(tmp_path: Path) -> None:
    drawn, _, pixels, _ = first(saved(scan_pdf(unit=4.0), min_version="1.6"))
    assert drawn.shape == (1100, 850, 3) and pixels.dpi == pytest.approx(100, abs=0.01)


def test_text_is_read_where_it_is_drawn() -> None:
    drawn, page, pixels, is_scan = first(saved(text_pdf()))
    assert not is_scan and pixels.guessed and round(pixels.dpi) == 300
    assert page.text == "Hello visible world\nsecond line" and page.source == "text layer" and is_sound(page.blocks)
    ink = np.argwhere(drawn.min(axis=2) < 128)
    (top, left), (foot, right) = ink.min(axis=0), ink.max(axis=0)
    x0, y0, x1, y1 = page.blocks[0].box
    assert x0 == pytest.approx(left, abs=12) and x1 == pytest.approx(right, abs=12)
    assert y0 < top < y0 + 60 and y1 - 60 < foot < y1


def test_text_on_a_turned_page_is_upright() -> None:
    pdf = text_pdf()
    pdf.pages[0].obj.Rotate = 90
    pdf.pages[0].obj.Contents = pdf.make_stream(b"BT /F1 20 Tf 0 1 -1 0 300 100 Tm (reads upright) Tj ET")
    page = first(saved(pdf))[1]
    assert page.text == "reads upright"
    (x0, y0), (x1, y1) = page.lines[0].quad[:2]
    assert x1 > x0 and y0 == y1


def test_text_that_no_font_maps_is_not_sound() -> None:
    pdf = text_pdf(rb"BT /F1 20 Tf 100 700 Td (\001\002\003\004) Tj ET")
    assert not is_sound(first(saved(pdf))[1].blocks)
    assert not is_sound(())


def test_columns_are_blocks() -> None:
    left = b"".join(b"BT /F1 10 Tf 50 %d Td (left column text) Tj ET " % (700 - 12 * row) for row in range(5))
    right = b"".join(b"BT /F1 10 Tf 320 %d Td (right column text) Tj ET " % (700 - 12 * row) for row in range(5))
    page = first(saved(text_pdf(left + right)))[1]
    assert [len(block.lines) for block in page.blocks] == [5, 5]


def test_a_huge_page_is_drawn_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_pages, "MAX_PIXELS", 1_000_000)
    drawn, _, pixels, _ = first(saved(text_pdf(size=(14400, 14400))))
    assert drawn.shape[0] * drawn.shape[1] <= 1_010_000 and "too many pixels" in pixels.warning


def test_a_page_that_is_nearly_nothing() -> None:
    assert first(saved(text_pdf(size=(3, 3))))[0].shape == (12, 12, 3)


def test_an_encrypted_file() -> None:
    locked = pikepdf.Encryption(owner="owner", user="secret")
    data = saved(text_pdf(), encryption=locked)
    assert "Hello" in first(data, password="secret")[1].text
    with pytest.raises(UnreadableInputError, match=r"locked.pdf: is encrypted .*--password"):
        first(data, name="locked.pdf")
    with pytest.raises(UnreadableInputError, match="not opened by this password"):
        first(data, password="wrong")


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("page.pdf", saved(text_pdf()))
    return stream.getvalue()


@pytest.mark.parametrize("data", [b"%PDF-1.7\n", zipped(), b"\0" * 5000, b"%PDF-1.4\n1 0 obj\n<</Type/Catalog>>endobj"])
def test_what_is_no_pdf(data: bytes) -> None:
    with pytest.raises(UnreadableInputError, match=r"this\.pdf"):
        first(data, name="this.pdf")


def test_a_truncated_file_gives_what_is_left_or_says_so() -> None:
    data = saved(text_pdf(LETTERS * 50, pages=5))
    for share in (0.9, 0.5, 0.1):
        try:
            with open_pdf(data[: int(len(data) * share)], name="cut.pdf") as pages:
                read = [whole_text(pages, index) for index in range(len(pages))]
        except UnreadableInputError as error:
            read = [error.message]
        assert read and all(not text or "Hello" in text or "cut.pdf" in text for text in read)


def whole_text(pages: pdf_pages.PdfPages, index: int) -> str:
    with pages.sheet(index) as sheet:
        return sheet.text(sheet.pixels(50)).text


@pytest.mark.parametrize("name", ["absent.pdf", "empty.pdf", "folder"])
def test_paths_that_lead_nowhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnreadableInputError, match=name), open_pdf(tmp_path / name):
        pass
