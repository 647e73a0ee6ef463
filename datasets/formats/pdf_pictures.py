"""Pictures as pages of a PDF, nothing coded again that need not be.

JPEG, JPEG 2000, PNG, fax-coded TIFF    the bytes of the file
other files without loss                every pixel as it was: rows as PNG codes them (WebP, TIFF, BMP, GIF …)
WebP with loss, JPEG inside TIFF        PDF knows no such coding: the smaller of the rows, which are exact, and a
                                        JPEG of quality 90, whose error is below what such files have lost before
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.pdf_frame import PageFrame
from vitapps.datasets.formats.picture import Picture, orientation_of

_LARGEST = 14_400.0  # user space units of a page (ISO 32000-1, annex C)
_TURNS = {1: 0, 3: 180, 6: 90, 8: 270}  # EXIF orientation -> /Rotate
_SPACES = {"1": "/DeviceGray", "L": "/DeviceGray", "RGB": "/DeviceRGB", "CMYK": "/DeviceCMYK"}
_JPEGS = ("JPEG", "MPO")  # MPO: a photograph with previews after it in the same file
_QUALITY = 90  # 44 dB and more of what is coded, where WebP of the usual quality has 41 of what it was given
_RIFF = 12  # bytes before the first chunk of a WebP
_STRIPS, _STRIP_BYTES, _FILL_ORDER, _PHOTOMETRIC = 273, 279, 266, 262


def add_picture(pdf: Any, source: Path | bytes, picture: Picture, dpi: tuple[float, float]) -> PageFrame:
    """A new last page of the pikepdf document `pdf` with the frame of `source` that `picture` was read from, `dpi` dots
    an inch of the upright picture. Between the page and the upright pixels stands the frame that is returned."""
    from PIL import Image

    with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        if picture.frames > 1:
            image.seek(picture.frame)
        turn = _TURNS.get(orientation_of(image))
        stream = _original(pdf, image, source) if turn is not None else None
        lossy = stream is None and _has_lost(image, source)
    if stream is None:
        turn, stream = 0, encoded(pdf, picture.pixels, lossy=lossy)
    height, width = picture.pixels.shape[:2]
    across, down = (min(size * 72 / density, _LARGEST) for size, density in zip((width, height), dpi, strict=True))
    if turn in (90, 270):
        across, down = down, across
    pdf.add_blank_page(page_size=(max(across, 3), max(down, 3)))
    page = pdf.pages[-1]
    box = (0.0, 0.0, max(across, 3.0), max(down, 3.0))
    _draw(pdf, page, stream, box)
    if turn:
        page.obj["/Rotate"] = turn
    return PageFrame(box=box, rotation=turn or 0, width=width, height=height)


def replace_page(pdf: Any, page: Any, picture: Picture, frame: PageFrame) -> None:
    """Put the drawn page in place of what it is drawn from; size, boxes and /Rotate stay."""
    pixels = np.ascontiguousarray(np.rot90(picture.pixels, frame.rotation // 90))  # back, counter-clockwise
    _draw(pdf, page, encoded(pdf, pixels, lossy=True), frame.box)


def _draw(pdf: Any, page: Any, stream: Any, box: tuple[float, float, float, float]) -> None:
    import pikepdf

    x0, y0, x1, y1 = box
    matrix = f"{x1 - x0:.4f} 0 0 {y1 - y0:.4f} {x0:.4f} {y0:.4f}"
    page.obj["/Resources"] = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Page=stream))
    page.obj["/Contents"] = pdf.make_stream(f"q {matrix} cm /Page Do Q\n".encode("ascii"))


def encoded(pdf: Any, pixels: NDArray[np.uint8], *, lossy: bool = False) -> Any:
    """An image of `pixels` H W 3: fax-coded where they are black and white, else without loss; with `lossy` a JPEG
    where that is smaller."""
    from PIL import Image

    grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
    image = Image.fromarray(pixels[..., 0] if grey else pixels)
    if grey and set(np.unique(pixels[..., 0]).tolist()) <= {0, 255}:
        return _fax(pdf, image.convert("1", dither=Image.Dither.NONE))
    rows, coded = io.BytesIO(), io.BytesIO()
    image.save(rows, "PNG")
    if lossy:
        image.save(coded, "JPEG", quality=_QUALITY)
        if coded.tell() < rows.tell():
            return _image(pdf, coded.getvalue(), image.size, _SPACES[image.mode], Filter="/DCTDecode")
    return _png(pdf, rows.getvalue())


def _has_lost(image: Any, source: Path | bytes) -> bool:
    """Whether a file's coding is one with loss; of WebP its first chunk with pixels tells."""
    if image.format != "WEBP":
        return image.format in (*_JPEGS, "JPEG2000") or image.info.get("compression") in ("jpeg", "tiff_jpeg")
    data, at = _bytes_of(source), _RIFF
    while at + 8 <= len(data) and data[at : at + 4] != b"VP8L":
        if data[at : at + 4] in (b"VP8 ", b"ANMF"):
            return True
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1) // 2 * 2
    return False


def _bytes_of(source: Path | bytes) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source


def _original(pdf: Any, image: Any, source: Path | bytes) -> Any:
    """The image with the bytes of the file, None where a PDF cannot hold them as they are."""
    if image.format == "JPEG2000" and image.mode in ("L", "RGB"):
        return _image(pdf, _bytes_of(source), image.size, _SPACES[image.mode], Filter="/JPXDecode")
    if image.format in _JPEGS and image.mode in _SPACES:
        data = _bytes_of(source)
        inverted = image.mode == "CMYK" and "adobe" in image.info
        decode = [1, 0] * 4 if inverted else None
        return _image(pdf, data, image.size, _SPACES[image.mode], Filter="/DCTDecode", Decode=decode)
    if image.format == "TIFF" and image.mode == "1":
        return _strip(pdf, image, source) or _fax(pdf, image)
    if image.format == "PNG" and "transparency" not in image.info:
        return _png(pdf, source)
    return _fax(pdf, image) if image.mode == "1" else None


def _strip(pdf: Any, image: Any, source: Path | bytes) -> Any:
    """The only strip of a TIFF in Group 4 coding."""
    tags = image.tag_v2
    offsets, sizes = tags.get(_STRIPS, ()), tags.get(_STRIP_BYTES, ())
    if image.info.get("compression") != "group4" or len(offsets) != 1 or tags.get(_FILL_ORDER, 1) != 1:
        return None
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream:
        stream.seek(offsets[0])
        data = stream.read(sizes[0])
    return _coded_fax(pdf, data, image.size, black_is_one=tags.get(_PHOTOMETRIC, 0) == 1)


def _fax(pdf: Any, image: Any) -> Any:
    """A bilevel picture in Group 4 coding (ITU-T T.6), by libtiff."""
    from PIL import Image

    coded = io.BytesIO()
    rows = max(image.height, 1)
    image.save(coded, "TIFF", compression="group4", tiffinfo={278: rows})
    with Image.open(io.BytesIO(coded.getvalue())) as written:
        return _strip(pdf, written, coded.getvalue())


def _coded_fax(pdf: Any, data: bytes, size: tuple[int, int], *, black_is_one: bool) -> Any:
    from pikepdf import Dictionary

    parameters = Dictionary(K=-1, Columns=size[0], Rows=size[1], BlackIs1=black_is_one)
    return _image(
        pdf, data, size, "/DeviceGray", BitsPerComponent=1, Filter="/CCITTFaxDecode", DecodeParms=parameters
    )  # fmt: skip


def _png(pdf: Any, source: Path | bytes) -> Any:
    """The compressed rows of a PNG without alpha and interlacing, which PDF decodes by the same predictors."""
    from pikepdf import Array, Dictionary, Name, String

    data = _bytes_of(source)
    width, height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if kind not in (0, 2, 3) or interlaced:
        return None
    chunks = _chunks(data)
    space: Any = {0: Name("/DeviceGray"), 2: Name("/DeviceRGB"), 3: None}[kind]
    if kind == 3:
        palette = next((body for name, body in chunks if name == b"PLTE"), b"")
        space = Array([Name("/Indexed"), Name("/DeviceRGB"), len(palette) // 3 - 1, String(palette)])
    colours = 3 if kind == 2 else 1
    rows = Dictionary(Predictor=15, Colors=colours, BitsPerComponent=bits, Columns=width)
    body = b"".join(part for name, part in chunks if name == b"IDAT")
    return _image(
        pdf, body, (width, height), space, BitsPerComponent=bits, Filter="/FlateDecode", DecodeParms=rows
    )  # fmt: skip


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _image(pdf: Any, data: bytes, size: tuple[int, int], space: Any, **entries: Any) -> Any:
    """An image XObject; entries that are None are left out, texts are names."""
    from pikepdf import Array, Name, Stream

    given = {"BitsPerComponent": 8, "ColorSpace": space, **entries}
    stream = Stream(pdf, data)
    stream["/Type"], stream["/Subtype"] = Name("/XObject"), Name("/Image")
    stream["/Width"], stream["/Height"] = size
    for key, value in given.items():
        if value is not None:
            stream[f"/{key}"] = (
                Name(value) if isinstance(value, str) else Array(value) if isinstance(value, list) else value
            )
    return stream
