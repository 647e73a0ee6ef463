"""Small PDF files: scans, pages with text, pages with odd boxes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pikepdf
from PIL import Image

LETTERS = b"BT /F1 20 Tf 100 700 Td (Hello visible world) Tj 0 -30 Td (second line) Tj ET"


def font() -> pikepdf.Dictionary:
    return pikepdf.Dictionary(
        Type=pikepdf.Name.Font, Subtype=pikepdf.Name("/Type1"), BaseFont=pikepdf.Name("/Helvetica"),
        Encoding=pikepdf.Name("/WinAnsiEncoding"),
    )  # fmt: skip


def saved(pdf: pikepdf.Pdf, **options: Any) -> bytes:
    stream = io.BytesIO()
    pdf.save(stream, **options)
    return stream.getvalue()


def text_pdf(content: bytes = LETTERS, pages: int = 1, *, size: tuple[float, float] = (612, 792)) -> pikepdf.Pdf:
    """Pages of Helvetica."""
    pdf = pikepdf.new()
    for _ in range(pages):
        pdf.add_blank_page(page_size=size)
        page = pdf.pages[-1].obj
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font()))
        page.Contents = pdf.make_stream(content)
    return pdf


def jpeg(width: int = 200, height: int = 300, *, mode: str = "L", exif: int = 1) -> bytes:
    """A picture with a dark band at its top and a darker left half."""
    pixels = np.full((height, width), 230, np.uint8)
    pixels[: height // 5] = 20
    pixels[:, : width // 2] //= 2
    image = Image.fromarray(pixels).convert(mode)
    info = image.getexif()
    info[274] = exif
    stream = io.BytesIO()
    image.save(stream, "JPEG", exif=info, dpi=(100, 100))
    return stream.getvalue()


def scan_pdf(
    *, width: int = 850, height: int = 1100, dpi: float = 100.0, rotate: int = 0, crop: float = 0.0, unit: float = 1.0
) -> pikepdf.Pdf:
    """One page that is a picture; `crop` units are cut off on the left, `unit` its UserUnit."""
    pdf = pikepdf.new()
    wide, high = width * 72 / dpi / unit, height * 72 / dpi / unit
    pdf.add_blank_page(page_size=(wide + crop, high))
    page = pdf.pages[0].obj
    image = pikepdf.Stream(pdf, jpeg(width, height))
    for key, value in {
        "/Type": pikepdf.Name("/XObject"), "/Subtype": pikepdf.Name("/Image"), "/Width": width, "/Height": height,
        "/BitsPerComponent": 8, "/ColorSpace": pikepdf.Name("/DeviceGray"), "/Filter": pikepdf.Name("/DCTDecode"),
    }.items():  # fmt: skip
        image[key] = value
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Im=image))
    page.Contents = pdf.make_stream(f"q {wide} 0 0 {high} {crop} 0 cm /Im Do Q".encode())
    if crop:
        page.CropBox = pikepdf.Array([crop, 0, wide + crop, high])
    if rotate:
        page.Rotate = rotate
    if unit != 1:
        page.UserUnit = unit
    return pdf
