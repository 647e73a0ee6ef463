"""A font whose letters cover nothing and are equally wide, for text that is to be found and copied but not seen.

A TrueType program of seven tables (Apple TrueType Reference, chapter 6). Its one letter is a line from the lower left
to the upper right corner of its box and back: it has no area, but a height, without which pdfium takes text that reads
up or down a page for none. The PDF side is a Type 0 font whose codes are numbered as letters come up, with a ToUnicode
map (ISO 32000-1, 9.7 and 9.10.3).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from typing import Any

UNITS = 1000  # of an em
ADVANCE = 500  # width of every letter, in units
ASCENT, DESCENT = 780, -220  # a line of text fills its box from descender to ascender
_NAME = "VitappsGlyphless"
_LOWEST, _HIGHEST = 0.2, 2.3  # sizes: poppler disbelieves an ascent of 1.9 and more
_STEP = 0.05  # of a size, between the heights of two fonts
_FILE_CHECKSUM = 0xB1B0AFBA


class GlyphlessFont:
    """Codes for letters, given out as they are asked for; the dictionaries are complete after `finish`.

    One program, but several fonts: they differ in how high their letters are said to be for their size.
    """

    def __init__(self, pdf: Any) -> None:
        """`pdf`: the pikepdf document that the font is for."""
        self._pdf = pdf
        self._codes: dict[str, int] = {}
        self._fonts: dict[int, Any] = {}

    def named(self, height: float) -> str:
        """The resource name of the font whose letters are `height` sizes high from descender to ascender."""
        import pikepdf

        step = math.ceil(min(max(height, _LOWEST), _HIGHEST) / _STEP - 1e-6)
        if step not in self._fonts:
            self._fonts[step] = self._pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.Font))
        return f"/{_NAME}{step}"

    def references(self) -> dict[str, Any]:
        """The fonts named so far, by their resource names."""
        return {f"/{_NAME}{step}": font for step, font in self._fonts.items()}

    def encode(self, text: str) -> str:
        """`text` as the hexadecimal string of a Tj operator."""
        codes = (self._codes.setdefault(letter, len(self._codes) + 1) for letter in text)
        return "<" + "".join(f"{min(code, 0xFFFF):04X}" for code in codes) + ">"

    def finish(self) -> None:
        """Fill in the fonts with the letters that were used."""
        pdf, data = self._pdf, font_program()
        program = compressed(pdf, data, Length1=len(data))
        glyphs = compressed(pdf, b"\0\0" + b"\0\1" * len(self._codes))  # code 0 is .notdef, others the empty letter
        letters = compressed(pdf, unicode_map(self._codes.items()))
        for step, font in self._fonts.items():
            for key, value in self._entries(step * _STEP, program, glyphs, letters).items():
                font[key] = value

    def _entries(self, height: float, program: Any, glyphs: Any, letters: Any) -> dict[str, Any]:
        from pikepdf import Array, Dictionary, Name, String

        name = Name(f"/{_NAME}")
        ascent, descent = round(ASCENT * height), round(DESCENT * height)
        descriptor = Dictionary(
            Type=Name.FontDescriptor, FontName=name, Flags=4, FontBBox=Array([0, descent, ADVANCE, ascent]),
            ItalicAngle=0, Ascent=ascent, Descent=descent, CapHeight=ascent, StemV=80, FontFile2=program,
        )  # fmt: skip
        system = Dictionary(Registry=String("Adobe"), Ordering=String("Identity"), Supplement=0)
        descendant = Dictionary(
            Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=name, CIDSystemInfo=system,
            FontDescriptor=self._pdf.make_indirect(descriptor), DW=ADVANCE, CIDToGIDMap=glyphs,
        )  # fmt: skip
        return {
            "/Subtype": Name.Type0, "/BaseFont": name, "/Encoding": Name("/Identity-H"),
            "/DescendantFonts": Array([self._pdf.make_indirect(descendant)]), "/ToUnicode": letters,
        }  # fmt: skip


def compressed(pdf: Any, data: bytes, **entries: Any) -> Any:
    """A stream of `data`, compressed here: a document is saved without touching the streams it has."""
    from pikepdf import Name, Stream

    stream = Stream(pdf, zlib.compress(data), **entries)
    stream["/Filter"] = Name("/FlateDecode")
    return stream


def unicode_map(codes: Iterable[tuple[str, int]]) -> bytes:
    """The ToUnicode CMap of letters and their codes, at most 100 in a section as the format allows."""
    rows = [f"<{code:04X}> <{letter.encode('utf-16-be').hex().upper()}>" for letter, code in codes if code <= 0xFFFF]
    sections = [rows[at : at + 100] for at in range(0, len(rows), 100)]
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin", "12 dict begin", "begincmap",
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
            "/CMapName /Adobe-Identity-UCS def", "/CMapType 2 def",
            "1 begincodespacerange", "<0000> <FFFF>", "endcodespacerange",
            *(part for rows in sections for part in (f"{len(rows)} beginbfchar", *rows, "endbfchar")),
            "endcmap", "CMapName currentdict /CMap defineresource pop", "end", "end",
        ]
    ).encode("ascii")  # fmt: skip


def font_program() -> bytes:
    """The bytes of the TrueType file."""
    box = (0, DESCENT, ADVANCE, ASCENT)
    corners = struct.pack(">hhh", 0, ADVANCE, -ADVANCE // 2), struct.pack(">hhh", DESCENT, UNITS, -UNITS // 2)
    letter = struct.pack(">hhhhhHH", 1, *box, 2, 0) + b"\1\1\1" + b"".join(corners) + b"\0"  # three points on a line
    tables = {
        b"cmap": struct.pack(">HHHHI", 0, 1, 3, 1, 12)  # one subtable, format 4, that maps the space to glyph 1
        + struct.pack(">HHHHHHH", 4, 32, 0, 4, 4, 1, 0) + struct.pack(">HH", 0x20, 0xFFFF) + b"\0\0"
        + struct.pack(">HHHHHH", 0x20, 0xFFFF, (1 - 0x20) & 0xFFFF, 1, 0, 0),
        b"glyf": letter,
        b"head": struct.pack(
            ">IIIIHHQQhhhhHHhhh", 0x10000, 0x10000, 0, 0x5F0F3CF5, 0, UNITS, 0, 0, *box, 0, 8, 2, 0, 0
        ),
        b"hhea": struct.pack(">IhhhHhhhhhhhhhhhH", 0x10000, ASCENT, DESCENT, 0, ADVANCE, *[0] * 11, 2),
        b"hmtx": struct.pack(">HhHh", ADVANCE, 0, ADVANCE, 0),
        b"loca": struct.pack(">HHH", 0, 0, len(letter) // 2),  # .notdef is empty
        b"maxp": struct.pack(">IHHHHHHHHHHHHHH", 0x10000, 2, 3, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
    }  # fmt: skip
    return _assembled(tables)


def _assembled(tables: dict[bytes, bytes]) -> bytes:
    """Offset table, directory and padded tables; the checksum of the whole stands in head."""
    offset = 12 + 16 * len(tables)
    directory, body, head_at = b"", b"", 0
    for tag, data in sorted(tables.items()):
        padded = data + b"\0" * (-len(data) % 4)
        if tag == b"head":
            head_at = offset + len(body)
        directory += struct.pack(">4sIII", tag, _checksum(padded), offset + len(body), len(data))
        body += padded
    power = len(tables).bit_length() - 1
    search = 16 << power
    header = struct.pack(">IHHHH", 0x10000, len(tables), search, power, 16 * len(tables) - search)
    program = bytearray(header + directory + body)
    program[head_at + 8 : head_at + 12] = struct.pack(">I", (_FILE_CHECKSUM - _checksum(bytes(program))) & 0xFFFFFFFF)
    return bytes(program)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 4}I", data))
    return total & 0xFFFFFFFF
