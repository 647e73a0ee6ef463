"""The rules of PDF/A-2b that a searchable scan can break, looked up one by one in a finished file (ISO 19005-2).

No validator is to be had from Debian or PyPI (veraPDF is Java and comes from its own site), so this reads the file with
pikepdf and with fontTools' sense of a font, not with what wrote it.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import Any

import pikepdf
from lxml import etree

_PDFA = "{http://www.aiim.org/pdfa/ns/id/}"
_ACTIONS = {"/Launch", "/Sound", "/Movie", "/ResetForm", "/ImportData", "/JavaScript", "/Hide", "/SetOCGState"}
_FORBIDDEN_FILTERS = {"/LZWDecode", "/Crypt"}
_SPELT = """b B b* B* BDC BI BMC BT BX c cm CS cs d d0 d1 Do DP EI EMC ET EX f F f* G g gs h i ID j J K k l m M MP n
q Q re RG rg ri s S SC sc SCN scn sh T* Tc Td TD Tf Tj TJ TL Tm Tr Ts Tw Tz v w W W* y ' \""""
_OPERATORS = frozenset(_SPELT.split())


def violations(data: bytes) -> list[str]:
    """One sentence for each rule that the file breaks."""
    found = list(_of_the_file(data))
    with pikepdf.open(io.BytesIO(data)) as pdf:
        for rule in (_of_the_catalogue, _of_streams, _of_pictures, _of_fonts, _of_pages):
            found += rule(pdf)
    return sorted(set(found))


def _everything(pdf: Any) -> Iterator[Any]:
    """Each object, and the dictionaries that are written within it."""
    waiting = list(pdf.objects)
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, pikepdf.Dictionary | pikepdf.Stream):
            values = [item[key] for key in item.keys()]  # noqa: SIM118 -- a stream cannot be iterated
        else:
            values = list(item) if isinstance(item, pikepdf.Array) else []
        waiting += [value for value in values if isinstance(value, pikepdf.Object) and not value.is_indirect]


def _of_the_file(data: bytes) -> Iterator[str]:
    if not re.match(rb"%PDF-1\.[0-7]\r?\n%[\x80-\xff]{4}", data):
        yield "6.1.2: no header with a comment of four high bytes"
    if not data.rstrip(b"\r\n").endswith(b"%%EOF"):
        yield "6.1.3: data after the end"


def _of_the_catalogue(pdf: Any) -> Iterator[str]:
    if pdf.is_encrypted:
        yield "6.1.3: encrypted"
    if "/ID" not in pdf.trailer:
        yield "6.1.3: no file identifier"
    intents = pdf.Root.get("/OutputIntents", ())
    profiles = [item.get("/DestOutputProfile") for item in intents if str(item.get("/S")) == "/GTS_PDFA1"]
    if not profiles or profiles[0] is None:
        yield "6.2.3: no output intent with a profile"
    elif (profile := profiles[0].read_bytes())[36:40] != b"acsp" or struct.unpack(">I", profile[:4])[0] != len(profile):
        yield "6.2.3: the profile is no ICC profile"
    elif profile[8] > 4 or {b"RGB ": 3, b"GRAY": 1, b"CMYK": 4}.get(profile[16:20]) != int(profiles[0].get("/N", 0)):
        yield "6.2.3: the profile is too new or of another number of colours"
    yield from _of_the_metadata(pdf)
    for key in ("/AA", "/XFA", "/NeedsRendering", "/Requirements"):
        if key in pdf.Root:
            yield f"6.4 to 6.5: the catalogue has {key}"
    if "/EmbeddedFiles" in pdf.Root.get("/Names", {}):
        yield "6.8: files are attached"


def _of_the_metadata(pdf: Any) -> Iterator[str]:
    if "/Metadata" not in pdf.Root:
        yield "6.6.2: no metadata"
        return
    text = pdf.Root.Metadata.read_bytes()
    packet = re.search(rb"<\?xpacket begin=[^>]*\?>", text)
    if packet is None or b"bytes=" in packet.group() or b"encoding=" in packet.group():
        yield "6.6.2: the packet header is missing or says how it is coded"
    root = etree.fromstring(text)
    said = {name: value for item in root.iter() for name, value in (*item.attrib.items(), (item.tag, item.text))}
    if said.get(f"{_PDFA}part") != "2" or said.get(f"{_PDFA}conformance") != "B":
        yield "6.6.4: the metadata does not claim PDF/A-2b"


def _of_streams(pdf: Any) -> Iterator[str]:
    for item in _everything(pdf):
        if isinstance(item, pikepdf.Stream):
            if any(key in item for key in ("/F", "/FFilter", "/FDecodeParms")):
                yield "6.1.7: a stream lies in another file"
            filters = item.get("/Filter", ())
            names = {str(filters)} if isinstance(filters, pikepdf.Name) else {str(name) for name in filters}
            if names & _FORBIDDEN_FILTERS:
                yield "6.1.7: LZW or encryption"
            if str(item.get("/Subtype", "")) == "/PS":
                yield "6.2.9: PostScript"
        if isinstance(item, pikepdf.Dictionary | pikepdf.Stream):
            if str(item.get("/S", "")) in _ACTIONS and str(item.get("/Type", "/Action")) == "/Action":
                yield f"6.5.1: the action {item.get('/S')}"
            if "/TR" in item or ("/TR2" in item and str(item["/TR2"]) != "/Default"):
                yield "6.2.5: a transfer function"


def _of_pictures(pdf: Any) -> Iterator[str]:
    for item in _everything(pdf):
        if not isinstance(item, pikepdf.Stream) or str(item.get("/Subtype", "")) != "/Image":
            continue
        if bool(item.get("/Interpolate", False)) or "/Alternates" in item or "/OPI" in item:
            yield "6.2.8: a picture is interpolated or has alternates"
        if str(item.get("/ColorSpace", "")) == "/DeviceCMYK":
            yield "6.2.4.3: device CMYK under an RGB intent"
        if int(item.get("/BitsPerComponent", 8)) not in (1, 2, 4, 8, 16):
            yield "6.2.8: an odd number of bits"


def _of_fonts(pdf: Any) -> Iterator[str]:
    for item in _everything(pdf):
        if not isinstance(item, pikepdf.Dictionary) or str(item.get("/Type", "")) != "/Font":
            continue
        kind = str(item.get("/Subtype"))
        if kind == "/Type0":
            yield from _of_composite(item)
        elif kind != "/Type3" and not _program(item):
            yield "6.2.11.4: a font is not embedded"


def _program(font: Any) -> bytes | None:
    described = font.get("/FontDescriptor", {})
    keys = [key for key in ("/FontFile", "/FontFile2", "/FontFile3") if key in described]
    return described[keys[0]].read_bytes() if keys else None


def _of_composite(font: Any) -> Iterator[str]:
    (inner,) = font.DescendantFonts
    program, map_ = _program(inner), inner.get("/CIDToGIDMap")
    if program is None:
        yield "6.2.11.4: a font is not embedded"
        return
    if str(font.Encoding) not in ("/Identity-H", "/Identity-V"):
        yield "6.2.11.3: a character map that is not embedded"
    if str(inner.Subtype) == "/CIDFontType2" and map_ is None:
        yield "6.2.11.3: no map from codes to glyphs"
    if "/ToUnicode" not in font:
        yield "6.2.11.7: no map to Unicode"
    if str(font.BaseFont) != str(inner.BaseFont) or str(inner.BaseFont) != str(inner.FontDescriptor.FontName):
        yield "6.2.11.2: the font has several names"
    yield from _of_widths(inner, program, map_)


def _of_widths(inner: Any, program: bytes, map_: Any) -> Iterator[str]:
    """The width that the dictionary says is that of the program, to a thousandth; read with fontTools."""
    from fontTools.ttLib import TTFont

    opened = TTFont(io.BytesIO(program))
    glyphs = map_.read_bytes() if isinstance(map_, pikepdf.Stream) else b"\0\0\0\1"
    used = {number for (number,) in struct.iter_unpack(">H", glyphs)} - {0}
    names, advances = opened.getGlyphOrder(), opened["hmtx"].metrics
    if any(number >= len(names) for number in used):
        yield "6.2.11.4: a glyph is missing"
        return
    units = opened["head"].unitsPerEm
    if "/W" in inner or any(abs(1000 * advances[names[number]][0] / units - float(inner.DW)) > 1 for number in used):
        yield "6.2.11.5: widths differ from those of the program"


def _of_pages(pdf: Any) -> Iterator[str]:
    for page in pdf.pages:
        x0, y0, x1, y1 = (float(value) for value in page.mediabox)
        if not all(3 <= side <= 14400 for side in (x1 - x0, y1 - y0)):
            yield "6.1.13: a page is too small or too large"
        depth = deepest = 0
        for operands, operator in pikepdf.parse_content_stream(page):
            name = str(operator)
            if name not in _OPERATORS and name != "INLINE IMAGE":
                yield f"6.2.2: the operator {name}"
            depth += (name == "q") - (name == "Q")
            deepest = max(deepest, depth)
            if name == "Tj" and b"\0\0" in [
                bytes(operands[0])[at : at + 2] for at in range(0, len(bytes(operands[0])), 2)
            ]:
                yield "6.2.11.8: the glyph .notdef is shown"
        if deepest > 28 or depth != 0:
            yield "6.1.13: q and Q do not match, or are nested too deeply"
        for note in page.get("/Annots", ()):
            if not int(note.get("/F", 0)) & 4 or int(note.get("/F", 0)) & 35:
                yield "6.3.2: an annotation is not printed"
