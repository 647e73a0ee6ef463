"""Pictures as pages of a PDF without a second coding, and what PDF/A asks for."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from PIL import Image

from fakes.pdfs import jpeg, saved, text_pdf
from vitapps.datasets.formats.pdf_archive import make_archival
from vitapps.datasets.formats.pdf_pages import open_pdf
from vitapps.datasets.formats.pdf_pictures import add_picture, encoded, replace_page
from vitapps.datasets.formats.picture import read_frames, read_picture


def pages_of(data: bytes, dpi: float = 100.0) -> pikepdf.Pdf:
    pdf = pikepdf.new()
    for picture in read_frames(data):
        frame = add_picture(pdf, data, picture, (dpi, dpi))
        assert (frame.height, frame.width) == picture.pixels.shape[:2]
    return pdf


def drawn(pdf: pikepdf.Pdf, index: int = 0) -> np.ndarray:
    with open_pdf(saved(pdf)) as pages, pages.sheet(index) as sheet:
        return sheet.picture(sheet.pixels(100)).pixels


def picture_file(pixels: np.ndarray, mode: str, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def stored(pdf: pikepdf.Pdf, index: int = 0) -> pikepdf.Stream:
    return pdf.pages[index].obj.Resources.XObject.Page


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_kept(mode: str, orientation: int) -> None:
    data = jpeg(mode=mode, exif=orientation)
    pdf = pages_of(data)
    assert stored(pdf).read_raw_bytes() == data
    difference = np.abs(drawn(pdf).astype(int) - read_picture(data).pixels)
    assert np.median(difference) <= (3 if mode != "CMYK" else 25)  # two programs' idea of ink


def test_a_mirrored_jpeg_is_coded_again() -> None:
    data = jpeg(exif=2)
    assert np.median(np.abs(drawn(pages_of(data)).astype(int) - read_picture(data).pixels)) <= 3


BLACK_AND_WHITE = np.kron(np.eye(20, dtype=np.uint8), np.ones((10, 10), np.uint8)) * 255


@pytest.mark.parametrize("zero_is_black", [0, 1])
def test_fax_coding_is_kept(zero_is_black: int) -> None:
    data = picture_file(BLACK_AND_WHITE, "1", "TIFF", compression="group4", tiffinfo={278: 1000, 262: zero_is_black})
    pdf = pages_of(data)
    assert stored(pdf).read_raw_bytes() in data and stored(pdf).Filter == "/CCITTFaxDecode"
    assert np.array_equal(drawn(pdf), read_picture(data).pixels)


@pytest.mark.parametrize(("mode", "options"), [("1", {}), ("L", {}), ("RGB", {}), ("P", {}), ("RGBA", {})])
def test_a_png_is_drawn_as_it_is(mode: str, options: dict[str, object]) -> None:
    grey = np.tile(np.arange(0, 250, dtype=np.uint8), (200, 1))
    data = picture_file(grey, mode, "PNG", **options)
    pdf = pages_of(data)
    if mode in ("L", "RGB", "P"):
        assert stored(pdf).DecodeParms.Predictor == 15 and stored(pdf).read_raw_bytes() in data
    assert np.abs(drawn(pdf).astype(int) - read_picture(data).pixels).max() <= 12


def test_every_frame_of_a_tiff_is_a_page() -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(np.full((50, 40 + 10 * index), 60 * index, np.uint8)) for index in range(3)]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:])
    pdf = pages_of(stream.getvalue())
    assert [drawn(pdf, index).shape[1] for index in range(3)] == [40, 50, 60]
    assert [int(drawn(pdf, index)[20, 20, 0]) for index in range(3)] == pytest.approx([0, 60, 120], abs=3)


NOISE = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)


def test_a_picture_is_coded_by_what_it_holds() -> None:
    pdf = pikepdf.new()
    two = np.repeat(BLACK_AND_WHITE[..., None], 3, axis=2)
    found = [encoded(pdf, pixels, lossy=lossy).get("/Filter") for lossy in (False, True) for pixels in (NOISE, two)]
    assert list(map(str, found)) == ["/FlateDecode", "/CCITTFaxDecode", "/DCTDecode", "/CCITTFaxDecode"]
    assert str(encoded(pdf, two // 2, lossy=True).get("/Filter")) == "/FlateDecode"  # smaller than a JPEG, and exact


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("WEBP", "RGB", {"lossless": True}), ("WEBP", "RGBA", {"lossless": True}), ("BMP", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "L", {}), ("GIF", "P", {}),
    ],
)  # fmt: skip
def test_files_without_loss_keep_every_pixel(form: str, mode: str, options: dict[str, object]) -> None:
    data = picture_file(NOISE, mode, form, **options)
    pdf = pages_of(data)
    assert stored(pdf).Filter == "/FlateDecode"
    assert np.array_equal(drawn(pdf), read_picture(data).pixels)


@pytest.mark.parametrize(
    ("form", "options"),
    [("WEBP", {"quality": 80}), ("WEBP", {"quality": 80, "exif": b"Exif"}), ("TIFF", {"compression": "jpeg"})],
)
def test_what_has_lost_before_and_pdf_does_not_know_becomes_a_jpeg_or_smaller(
    form: str, options: dict[str, object]
) -> None:
    soft = np.asarray(Image.fromarray(NOISE[:15, :15]).resize((120, 120)))
    data = picture_file(soft, "RGB", form, **options)
    pdf = pages_of(data)
    assert stored(pdf).Filter == "/DCTDecode" and len(stored(pdf).read_raw_bytes()) < soft.size / 2
    assert np.abs(drawn(pdf).astype(int) - read_picture(data).pixels).mean() < 5
    even = picture_file(np.full_like(NOISE, 90), "RGB", form, **options)
    assert stored(pages_of(even)).Filter == "/FlateDecode"


def test_a_jpeg_2000_is_kept() -> None:
    data = picture_file(NOISE, "RGB", "JPEG2000", quality_mode="dB", quality_layers=[38])
    pdf = pages_of(data)
    assert stored(pdf).Filter == "/JPXDecode" and stored(pdf).read_raw_bytes() == data
    assert np.abs(drawn(pdf).astype(int) - read_picture(data).pixels).mean() < 2


def test_a_photograph_with_previews_in_its_file_is_one_page() -> None:
    photograph, preview = Image.fromarray(NOISE), Image.new("RGB", (20, 20))
    stream = io.BytesIO()
    photograph.save(stream, "MPO", save_all=True, append_images=[preview])
    pdf = pages_of(stream.getvalue())
    assert len(pdf.pages) == 1 and stored(pdf).read_raw_bytes() == stream.getvalue()
    assert np.abs(drawn(pdf).astype(int) - read_picture(stream.getvalue()).pixels).mean() < 2


@pytest.mark.parametrize("rotate", [0, 90, 270])
def test_a_page_is_replaced_by_its_picture(rotate: int) -> None:
    pdf = text_pdf()
    pdf.pages[0].obj.Rotate = rotate
    before = drawn(pdf)
    with open_pdf(saved(pdf)) as pages, pages.sheet(0) as sheet:
        picture = sheet.picture(sheet.pixels(100))
        frame = sheet.frame(picture.pixels.shape[1], picture.pixels.shape[0])
    replace_page(pdf, pdf.pages[0], picture, frame)
    with open_pdf(saved(pdf)) as pages, pages.sheet(0) as sheet:
        assert sheet.text(sheet.pixels(100)).text == ""
    assert np.abs(drawn(pdf).astype(int) - before).mean() < 1.5


def test_pdfa_has_what_it_must_have(tmp_path: Path) -> None:
    pdf = pages_of(jpeg())
    pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name("/JavaScript"), JS="x")
    pdf.Root.Names = pikepdf.Dictionary(JavaScript=pikepdf.Dictionary(), EmbeddedFiles=pikepdf.Dictionary())
    note = pikepdf.Dictionary(Type=pikepdf.Name("/Annot"), Subtype=pikepdf.Name("/Text"), F=2)
    pdf.pages[0].obj.Annots = pikepdf.Array([note])
    assert make_archival(pdf, title="A title") == []
    again = pikepdf.open(io.BytesIO(saved(pdf)))
    with again.open_metadata() as meta:
        assert meta.pdfa_status == "2B" and meta["dc:title"] == "A title"
    (intent,) = again.Root.OutputIntents
    assert intent.S == "/GTS_PDFA1" and intent.DestOutputProfile.N == 3
    assert intent.DestOutputProfile.read_bytes()[36:40] == b"acsp"  # the mark of an ICC profile
    assert "/OpenAction" not in again.Root and not list(again.Root.Names.keys())
    assert again.pages[0].obj.Annots[0].F == 4


def test_pdfa_names_what_stands_in_its_way() -> None:
    assert make_archival(text_pdf()) == ["the font Helvetica is not embedded"]
    assert any("CMYK" in line for line in make_archival(pages_of(jpeg(mode="CMYK"))))
