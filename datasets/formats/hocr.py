"""hOCR 1.2 (Breuel; kba.github.io/hocr-spec/1.2): pages as XHTML that browsers, OCRmyPDF and hocr-tools read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from vitapps.datasets.formats.line_metrics import is_upright, metrics
from vitapps.datasets.formats.page_text import Block, BlockKind, Box, Line, Page, Quad, Word, around, quad_of
from vitapps.datasets.formats.page_writer import SOFTWARE, Origin, element, fragment, legal, whole
from vitapps.errors import UnreadableInputError

_CAPABILITIES = "ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_wconf ocrp_poly ocrp_lang"
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
<head>
<title>{title}</title>
<meta http-equiv="Content-Type" content="text/html;charset=utf-8" />
<meta name="ocr-system" content="{software}" />
<meta name="ocr-capabilities" content="{capabilities}" />
</head>
<body>
"""


class HocrWriter:
    """One `ocr_page` a page; a block is an `ocr_carea` with one `ocr_par`, its kind the property `x_kind`."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._origin = origin
        self._stream = path.open("w", encoding="utf-8", newline="\n")
        title = escape(legal(Path(origin.name).name))
        self._stream.write(_HEAD.format(title=title, software=SOFTWARE, capabilities=_CAPABILITIES))

    def add(self, page: Page) -> None:
        self._stream.write(fragment(page_element(page, self._origin)) + "\n")

    def finish(self) -> None:
        self._stream.write("</body>\n</html>\n")
        self._stream.close()


def page_element(page: Page, origin: Origin) -> ElementTree.Element:
    """The `div` of one page."""
    name = origin.name.replace('"', "%22")
    scan = f"scan_res {round(page.dpi[0])} {round(page.dpi[1])}"
    title = f'image "{name}"; bbox 0 0 {page.width} {page.height}; ppageno {page.number - 1}; {scan}'
    root = ElementTree.Element("div", {"class": "ocr_page", "id": f"page_{page.number}", "title": legal(title)})
    line_number = word_number = 0
    for number, block in enumerate(page.blocks, 1):
        place, box = f"{page.number}_{number}", _bbox(block.box)
        title = f"{box}; x_kind {block.kind}"
        area = element(root, "div", **{"class": "ocr_carea"}, id=f"block_{place}", title=title)
        paragraph = element(area, "p", **{"class": "ocr_par"}, id=f"par_{place}", title=box)
        for line in block.lines:
            line_number += 1
            row = element(
                paragraph, "span", **{"class": "ocr_line"}, id=f"line_{page.number}_{line_number}", title=_line(line)
            )  # fmt: skip
            for word in line.words:
                word_number += 1
                title = f"{_bbox(word.box)}; x_wconf {round(100 * word.confidence)}{_poly(word.quad)}"
                place = f"word_{page.number}_{word_number}"
                element(row, "span", **{"class": "ocrx_word"}, id=place, title=title).text = legal(word.text)
    return root


def _bbox(box: Box) -> str:
    return "bbox {} {} {} {}".format(*whole(box))


def _poly(quad: Quad) -> str:
    if is_upright(quad):
        return ""
    return "; poly " + " ".join(f"{round(x)} {round(y)}" for x, y in quad)


def _line(line: Line) -> str:
    """bbox, baseline (slope and offset from the lower left corner of the box), angle and sizes of a line."""
    found = metrics(line)
    x0, _, _, y1 = whole(line.box)
    parts = [_bbox(line.box)]
    if abs(found.angle) < 45:
        slope = math.tan(math.radians(found.angle))
        parts.append(f"baseline {slope:.4f} {found.start[1] - slope * (found.start[0] - x0) - y1:.1f}")
    else:
        parts.append(f"textangle {-found.angle % 360:.1f}")  # counter-clockwise
    ascent = 0.3 * (found.height - found.descent)  # above the x-height
    parts.append(f"x_size {found.height:.1f}; x_descenders {found.descent:.1f}; x_ascenders {ascent:.1f}")
    return "; ".join(parts) + _poly(line.quad)


def read_hocr(path: Path) -> list[Page]:
    """The pages of an hOCR file, tesseract's and ours alike; raises UnreadableInputError where there is none."""
    try:
        parser = _Reader()
        parser.feed(path.read_text(encoding="utf-8", errors="replace"))
        parser.close()
        pages = [part.page(number) for number, part in enumerate(parser.pages, 1)]
    except (OSError, ValueError, IndexError) as error:
        raise UnreadableInputError(f"{path}: not hOCR that can be read: {error}", hint="write it again") from None
    if not pages:
        raise UnreadableInputError(f"{path}: holds no ocr_page", hint="is it hOCR?")
    return pages


@dataclass(slots=True)
class _Part:
    """An element on the way to a page: what its title says, its own text, the parts in it."""

    name: str
    title: str
    text: list[str] = field(default_factory=list)
    parts: list[_Part] = field(default_factory=list)

    def number_list(self, key: str) -> list[float]:
        found = re.search(rf"(?:^|;)\s*{key}\s+([-0-9. ]+)", re.sub(r'"[^"]*"', "", self.title))
        return [float(value) for value in found[1].split()] if found else []

    @property
    def quad(self) -> Quad:
        corners = self.number_list("poly")
        if len(corners) == 8:
            pairs = list(zip(corners[::2], corners[1::2], strict=True))
            return (pairs[0], pairs[1], pairs[2], pairs[3])
        x0, y0, x1, y1 = self.number_list("bbox") or [0.0] * 4
        return quad_of((x0, y0, x1, y1))

    def within(self, kind: str) -> list[_Part]:
        """Parts of one kind at any depth, in order."""
        found = []
        for part in self.parts:
            found += [part] if part.name == kind else part.within(kind)
        return found

    def page(self, number: int) -> Page:
        width, height = (self.number_list("bbox") or [0.0] * 4)[2:]
        resolution = self.number_list("scan_res")
        dpi = (resolution[0], resolution[-1]) if resolution else (300.0, 300.0)
        blocks = [block for area in self.within("block") for block in area.blocks()]
        loose = [part.line() for part in self.parts if part.name == "line"]
        if loose:
            blocks.append(Block(lines=tuple(loose), box=around([line.box for line in loose])))
        return Page(
            width=int(width), height=int(height), number=number, dpi=dpi, dpi_guessed=not resolution,
            blocks=tuple(blocks),
        )  # fmt: skip

    def blocks(self) -> list[Block]:
        """A block for each paragraph of an area."""
        found = re.search(r"x_kind (\w+)", self.title)
        kind: BlockKind = found[1] if found and found[1] in get_args(BlockKind) else "text"  # type: ignore[assignment]
        groups = [part.within("line") for part in self.within("par")] or [self.within("line")]
        blocks = []
        for group in groups:
            lines = tuple(part.line() for part in group)
            x0, y0, x1, y1 = self.number_list("bbox") or around([line.box for line in lines])
            whole_area = len(groups) == 1
            blocks.append(
                Block(lines=lines, kind=kind, box=(x0, y0, x1, y1) if whole_area else around([i.box for i in lines]))
            )
        return blocks

    def line(self) -> Line:
        words = tuple(word for part in self.within("word") if (word := part.word()).text)
        return Line(words=words, quad=self.quad)

    def word(self) -> Word:
        confidence = self.number_list("x_wconf")
        text = " ".join("".join(self.text).split())
        return Word(text=text, quad=self.quad, confidence=confidence[0] / 100 if confidence else 1.0)


_KINDS = {
    "ocr_page": "page", "ocr_carea": "block", "ocr_photo": "block", "ocr_table": "block", "ocr_float": "block",
    "ocr_par": "par", "ocr_line": "line", "ocr_header": "line", "ocr_footer": "line", "ocr_caption": "line",
    "ocr_textfloat": "line", "ocrx_line": "line", "ocrx_word": "word",
}  # fmt: skip
_EMPTY_TAGS = frozenset(("br", "hr", "img", "meta", "link", "input", "col", "base", "area"))


class _Reader(HTMLParser):
    """HTML as it comes: entities, capitals and unclosed paragraphs do no harm."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pages: list[_Part] = []
        self._open: list[tuple[str, _Part | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _EMPTY_TAGS:
            return
        given = {name: value or "" for name, value in attrs}
        kind = next((_KINDS[name] for name in given.get("class", "").split() if name in _KINDS), None)
        part = _Part(kind, given.get("title", "")) if kind else None
        if part is not None:
            parent = self._innermost()
            (self.pages if kind == "page" else parent.parts if parent else []).append(part)
        self._open.append((tag, part))

    def handle_endtag(self, tag: str) -> None:
        if tag in (name for name, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        part = self._innermost()
        if part is not None:
            part.text.append(data)

    def _innermost(self) -> _Part | None:
        return next((part for _, part in reversed(self._open) if part is not None), None)
