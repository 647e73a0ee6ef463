"""`doc ocr --pdfa` against the rules of PDF/A-2b, and the rules against files that break them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from fakes.page_reading import Reading
from fakes.pdfa_rules import violations
from fakes.pdfs import jpeg, saved, scan_pdf, text_pdf
from vitapps.apps.main import main


def archived(source: Path, *options: str) -> bytes:
    out = source.with_name("out.pdf")
    assert main(["doc", "ocr", str(source), "-o", str(out), "--pdfa", "--quiet", *options]) == 0
    return out.read_bytes()


def interpolated() -> pikepdf.Pdf:
    pdf = scan_pdf()
    pdf.pages[0].obj.Resources.XObject.Im.Interpolate = True
    return pdf


def scripted() -> pikepdf.Pdf:
    pdf = scan_pdf(rotate=90, crop=20)
    pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name("/JavaScript"), JS="x")
    return pdf


SOURCES: dict[str, Callable[[], bytes]] = {
    "grey.jpg": jpeg, "colour.jpg": lambda: jpeg(mode="RGB"), "turned.jpg": lambda: jpeg(exif=6),
    "scan.pdf": lambda: saved(scan_pdf()), "cropped.pdf": lambda: saved(scripted()),
    "interpolated.pdf": lambda: saved(interpolated()),
}  # fmt: skip


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("name", SOURCES)
def test_what_is_written_breaks_no_rule(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(SOURCES[name]())
    assert violations(archived(tmp_path / name)) == []


def test_pages_with_text_become_pictures_that_break_no_rule(tmp_path: Path, reading: Reading) -> None:
    (tmp_path / "born.pdf").write_bytes(saved(text_pdf(pages=2)))
    kept = violations(archived(tmp_path / "born.pdf"))
    assert kept == ["6.2.11.4: a font is not embedded"]  # and the command says so: test_pdf_pictures
    assert violations(archived(tmp_path / "born.pdf", "--force", "--dpi", "60", "--overwrite")) == []


def _lzw(pdf: Any) -> None:
    pdf.pages[0].obj.Resources.XObject.Page.Filter = pikepdf.Name("/LZWDecode")


def _unnamed(pdf: Any) -> None:
    (font,) = [item for item in pdf.objects if str(getattr(item, "Subtype", "")) == "/Type0"][:1]
    del font["/ToUnicode"]
    font.DescendantFonts[0].DW = 700


def _stripped(pdf: Any) -> None:
    for item in pdf.objects:
        if isinstance(item, pikepdf.Dictionary) and "/FontFile2" in item:
            del item["/FontFile2"]


BREAKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no intent": (lambda pdf: pdf.Root.__delitem__("/OutputIntents"), "6.2.3"),
    "no metadata": (lambda pdf: pdf.Root.__delitem__("/Metadata"), "6.6.2"),
    "an action": (
        lambda pdf: setattr(pdf.Root, "OpenAction", pdf.make_indirect(pikepdf.Dictionary(S=pikepdf.Name("/Launch")))),
        "6.5.1",
    ),
    "lzw": (_lzw, "6.1.7"), "widths": (_unnamed, "6.2.11.5"), "to unicode": (_unnamed, "6.2.11.7"),
    "font": (_stripped, "6.2.11.4"),
    "interpolate": (lambda pdf: setattr(pdf.pages[0].obj.Resources.XObject.Page, "Interpolate", True), "6.2.8"),
    "size": (lambda pdf: setattr(pdf.pages[0].obj, "MediaBox", pikepdf.Array([0, 0, 2, 20000])), "6.1.13"),
    "operator": (lambda pdf: pdf.pages[0].contents_add(b"nonsense"), "6.2.2"),
    "nesting": (lambda pdf: pdf.pages[0].contents_add(b"q"), "6.1.13"),
}  # fmt: skip


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("name", BREAKS)
def test_the_rules_see_what_breaks_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "scan.jpg").write_bytes(jpeg())
    change, clause = BREAKS[name]
    with pikepdf.open(io.BytesIO(archived(tmp_path / "scan.jpg"))) as pdf:
        change(pdf)
        data = saved(pdf, compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    assert any(line.startswith(clause) for line in violations(data))


@pytest.mark.usefixtures("reading")
def test_encryption_is_seen(tmp_path: Path) -> None:
    (tmp_path / "scan.jpg").write_bytes(jpeg())
    with pikepdf.open(io.BytesIO(archived(tmp_path / "scan.jpg"))) as pdf:
        data = saved(pdf, encryption=pikepdf.Encryption(user="", owner="x"))
    assert "6.1.3: encrypted" in violations(data)
