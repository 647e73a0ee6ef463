"""Documents that cannot be read: damaged, empty, of another kind than they say, or larger than any page."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
import pikepdf
from PIL import Image

from fakes.pdfs import jpeg, saved, scan_pdf, text_pdf


def _picture(form: str, **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, *, depth: int = 8, colour: int = 2) -> bytes:
    """A header that claims a size, and almost nothing behind it."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"\0" * 100)) + _chunk(b"IEND", b"")


def _tiff(entries: dict[int, tuple[int, int, int]], following: int = 0, body: bytes = b"") -> bytes:
    """A TIFF of one directory; entries: tag -> type, count, value."""
    rows = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + struct.pack("<I", following) + body


Tags = dict[int, tuple[int, int, int]]


def _tags(width: int = 50, height: int = 50, *, compression: int = 1, offset: int = 200) -> Tags:
    size = min(width * height, 0xFFFFFFFF)
    return {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, compression), 262: (3, 1, 1),
            273: (4, 1, offset), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, size)}  # fmt: skip


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IHHI", 100, 0, 0, 54)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>" * 50)
    return stream.getvalue()


def _flat(pdf: pikepdf.Pdf) -> bytes:
    return saved(pdf, object_stream_mode=pikepdf.ObjectStreamMode.disable)


def _encrypted() -> bytes:
    return saved(text_pdf(), encryption=pikepdf.Encryption(user="secret", owner="owner"))


def _without_pages() -> bytes:
    return saved(pikepdf.new())


def _page_of(box: str) -> bytes:
    """A PDF whose one page has that /MediaBox."""
    page = f"<</Type/Page/Parent 2 0 R/MediaBox{box}>>"
    objects = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", page]
    body, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "xref\n0 4\n0000000000 65535 f \n" + "".join(f"{place:010d} 00000 n \n" for place in places)
    return body + f"{table}trailer<</Root 1 0 R/Size 4>>\nstartxref\n{len(body)}\n%%EOF".encode()


PNG, JPEG, TIFF, GIF, WEBP = (_picture(form) for form in ("PNG", "JPEG", "TIFF", "GIF", "WEBP"))
PDF = saved(scan_pdf())

BAD_DOCUMENTS: dict[str, bytes] = {
    # pictures that are cut, or whose header is wrong
    "empty.png": b"", "one-byte.jpg": b"\xff", "signature.png": PNG[:8], "cut.png": PNG[: len(PNG) // 2],
    "cut-header.png": PNG[:20], "bad-checksum.png": PNG[:29] + b"\0\0\0\0" + PNG[33:], "no-data.png": PNG[:33],
    "cut.jpg": JPEG[: len(JPEG) // 2], "start.jpg": JPEG[:4], "zeros.jpg": JPEG[:2] + bytes(2000),
    "cut.tif": TIFF[:100], "header.tif": TIFF[:8], "fax.tif": b"II*\0" * 9, "cut.gif": GIF[:20],
    "header.gif": GIF[:6], "cut.webp": WEBP[: len(WEBP) // 2], "header.webp": WEBP[:12], "cut.bmp": _bmp(40, 40)[:40],
    "no-data.bmp": _bmp(40, 40), "noise.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(range(256)) * 4,
    "cut.ppm": b"P6\n100 100\n255\n" + bytes(50), "letters.pgm": b"P5\nten ten\n255\n",
    # pictures of impossible or enormous size
    "no-width.png": _png(0, 100), "bomb.png": _png(200_000, 200_000), "long.png": _png(30_000, 30_000),
    "depth.png": _png(40, 40, depth=7), "bomb.bmp": _bmp(2_000_000, 2_000_000),
    "bomb.tif": _tiff(_tags(400_000, 400_000)),
    "no-height.tif": _tiff(_tags(50, 0)), "unknown-packing.tif": _tiff(_tags(compression=4321), body=bytes(3000)),
    "beyond-the-end.tif": _tiff(_tags(offset=1 << 30)), "fax-noise.tif": _tiff(_tags(compression=4), body=b"\xa5" * 40),
    # another kind than the name says
    "words.png": b"These are words.\n" * 40, "page.jpg": b"<!doctype html><title>no picture</title>" * 9,
    "program.tif": b"\x7fELF\2\1\1" + bytes(500), "archive.png": _zip(), "words.docx": _zip(),
    "table.csv": b"a,b\n1,2\n",
    "zip.pdf": b"PK\3\4" + bytes(5000), "archive.pdf": _zip(), "page.pdf": b"<html><body>no PDF</body></html>" * 9,
    "packed.pdf": gzip.compress(PDF), "script.pdf": b"%!PS-Adobe-3.0\nshowpage\n", "zeros.pdf": bytes(4096),
    # PDF files that are cut, damaged, closed or empty
    "empty.pdf": b"", "header.pdf": b"%PDF-1.7\n%%EOF", "cut.pdf": PDF[:400],
    "looped.pdf": _flat(text_pdf()).replace(b"/Kids [ 3 0 R ]", b"/Kids [ 2 0 R ]"),
    "rootless.pdf": _flat(text_pdf()).replace(b"/Root", b"/Rood").replace(b"/Catalog", b"/Cattail"),
    "locked.pdf": _encrypted(), "no-pages.pdf": _without_pages(), "noise.pdf": b"%PDF-1.7\n" + bytes(range(256)) * 20,
    "huge-page.pdf": _page_of("[0 0 1000000000 1000000000]"), "jpeg-stream-only.pdf": b"%PDF-1.4\n" + jpeg(40, 40),
}  # fmt: skip
