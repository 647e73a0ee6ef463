"""Invisible text over the pages of a PDF that stay as they are (ISO 32000-1, 9.3.6: rendering mode 3).

The layer is a content stream of its own that stands before the page's: it starts from a clean graphics state whatever
the page leaves behind, and no byte of the page or its images changes. Every word is drawn from the left to the right
edge of its box by horizontal scaling; spaces fill the gaps. Programs that take words as they come (Chromium,
`pdftotext -raw`) find them in reading order; `pdf_text_sizes` is for those that order words by their places.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitapps.datasets.formats.line_metrics import metrics
from vitapps.datasets.formats.page_text import Block, Line, Page, Word
from vitapps.datasets.formats.pdf_frame import PageFrame, Point
from vitapps.datasets.formats.pdf_glyphless import ADVANCE, ASCENT, DESCENT, UNITS, GlyphlessFont, compressed
from vitapps.datasets.formats.pdf_text_sizes import INSET, TextSize, full_height, line_sizes

_LETTER = ADVANCE / UNITS  # width in em
_ABOVE = ASCENT / (ASCENT - DESCENT)  # share of a line's height that stands above its baseline
_GAP = 0.17  # em between words at least: pdftotext joins words that stand closer than 0.15
_WIDE = 1.5  # em: wider gaps stand between columns, narrower ones were stretched to justify a line
_STEEP = 8.5  # degrees: letters of steeper lines are turned as the line is
_FALL, _MOST, _TURNED = 2.4, 2.5, 1.5  # of a word's fall, of the letters' height: sizes of lines that are askew
_SCALES = (1.0, 10_000.0)  # of Tz in per cent: what readers take


class TextLayer:
    """The layer of a document: one font, a content stream a page."""

    def __init__(self, pdf: Any) -> None:
        """`pdf`: the open pikepdf document."""
        self._pdf = pdf
        self._font = GlyphlessFont(pdf)
        self._tagged = "/StructTreeRoot" in pdf.Root

    def add(self, index: int, page: Page, frame: PageFrame) -> None:
        """Lay the words of `page` over page `index` (from 0), which is shown as `frame` says."""
        import pikepdf

        text = layer_content(page, frame, self._font, artifact=self._tagged)
        if not text:
            return
        target = self._pdf.pages[index]
        resources = _own_resources(target)
        fonts = resources.get("/Font")
        mine = self._font.references()
        resources["/Font"] = pikepdf.Dictionary({**(dict(fonts.items()) if fonts is not None else {}), **mine})
        target.contents_add(compressed(self._pdf, text), prepend=True)

    def finish(self) -> None:
        """Complete the font; call it once, before the document is saved."""
        self._font.finish()


def write_text_pdf(path: Path, page: Page) -> None:
    """A PDF of one page that is as large as the picture was and holds nothing but the text."""
    import pikepdf

    pdf = pikepdf.new()
    width, height = (size * 72 / dpi for size, dpi in zip((page.width, page.height), page.dpi, strict=True))
    pdf.add_blank_page(page_size=(max(width, 3.0), max(height, 3.0)))
    layer = TextLayer(pdf)
    frame = PageFrame(box=(0, 0, max(width, 3.0), max(height, 3.0)), rotation=0, width=page.width, height=page.height)
    layer.add(0, page, frame)
    layer.finish()
    pdf.save(path)


def layer_content(page: Page, frame: PageFrame, font: GlyphlessFont, *, artifact: bool = False) -> bytes:
    """The operators that draw the words of `page`, empty where there is none. `artifact`: marked as no part of the
    structure, as every mark on a page of a tagged document must be."""
    blocks = [written for block in page.blocks if (written := _written(block)).lines]
    lines = [line for block in blocks for line in block.lines]
    sizes = line_sizes(blocks, _ABOVE)
    drawn = [part for line, size in zip(lines, sizes, strict=True) for part in _sized(line, frame, font, size)]
    if not drawn:
        return b""
    before, after = ("/Artifact BMC\n", "EMC\n") if artifact else ("", "")
    return f"q\n{before}BT\n3 Tr\n{''.join(drawn)}ET\n{after}Q\n".encode("ascii")


def _own_resources(page: Any) -> Any:
    """The page's resources as a dictionary of its own: those it inherits or shares must not change."""
    import pikepdf

    found = page.obj.get("/Resources")
    node = page.obj
    while found is None and "/Parent" in node:
        node = node.Parent
        found = node.get("/Resources")
    page.obj.Resources = pikepdf.Dictionary(dict(found.items()) if isinstance(found, pikepdf.Dictionary) else {})
    return page.obj.Resources


def _written(block: Block) -> Block:
    """The block without words and lines that hold nothing."""
    lines = [
        Line(words=words, quad=line.quad)
        for line in block.lines
        if (words := tuple(word for word in line.words if word.text.strip()))
    ]
    return Block(lines=tuple(lines), kind=block.kind, box=block.box)


def _sized(line: Line, frame: PageFrame, font: GlyphlessFont, chosen: TextSize) -> Iterator[str]:
    """A line in its nominal size; the font says how high its letters are."""
    nominal = max(chosen.size, _size_askew(line))
    size = max(_across(line, frame) * nominal, 0.5)
    height = (full_height(line, _ABOVE) + chosen.lift / _ABOVE) / nominal
    yield f"{font.named(height)} {_number(size)} Tf\n"
    yield from _line(line, frame, font, size)


def _size_askew(line: Line) -> float:
    """Pixels: the least size of a line that is askew. Readers take for one line what follows with a base less than half
    a size away: upright letters word by word, turned ones letter by letter."""
    askew, letters = _askew(math.radians(metrics(line).angle)), full_height(line, _ABOVE)
    if askew > math.radians(_STEEP):
        return _TURNED * letters
    longest = max(math.dist(word.quad[0], word.quad[1]) for word in line.words)
    return min(_FALL * math.sin(askew) * longest, _MOST * letters)


def _line(line: Line, frame: PageFrame, font: GlyphlessFont, size: float) -> Iterator[str]:
    """Each word with its own text matrix, along the baseline of the line."""
    found = metrics(line)
    start, end = frame.to_user(*found.start), frame.to_user(*found.end)
    along = _direction(start, end, frame)
    drawn = _upright(along)
    edges = _inset(
        [_edges(word, start, along, frame) for word in line.words], INSET * found.height * _across(line, frame)
    )
    for index, word in enumerate(line.words):
        left, right = edges[index]
        following = edges[index + 1][0] if index + 1 < len(edges) else None
        if following is not None:
            right = min(right, following - _GAP * size)
            if 0.65 * size < following - right < _WIDE * size:
                right = following - 0.6 * size
        right = max(right, left + 0.05 * size)
        x, y = start[0] + along[0] * left, start[1] + along[1] * left
        matrix = " ".join(_number(value) for value in (*drawn, -drawn[1], drawn[0], x, y))
        text = " ".join(word.text.split())
        yield f"{matrix} Tm {_number(_scale(right - left, len(text), size))} Tz {font.encode(text)} Tj\n"
        if following is not None:
            yield f"{_number(_scale(following - right, 1, size))} Tz {font.encode(' ')} Tj\n"


def _across(line: Line, frame: PageFrame) -> float:
    """User space units of a pixel across the direction of the line."""
    lies = abs(metrics(line).angle) % 180
    step = (1, 0) if 45 < lies < 135 else (0, 1)
    return math.dist(frame.to_user(0, 0), frame.to_user(*step))


def _direction(start: Point, end: Point, frame: PageFrame) -> Point:
    """Unit vector of reading in user space."""
    length = math.dist(start, end)
    if length < 1e-6:
        origin, right = frame.to_user(0, 0), frame.to_user(1, 0)
        start, end, length = origin, right, max(math.dist(origin, right), 1e-9)
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length


def _inset(edges: list[Point], step: float) -> list[Point]:
    """The edges of the words of a line, the first and the last brought in by `step`, a word's half at most."""
    (first, after), (before, last) = edges[0], edges[-1]
    edges[0] = (first + min(step, (after - first) / 4), after)
    edges[-1] = (edges[-1][0], last - min(step, (last - before) / 4))
    return edges


def _upright(along: Point) -> Point:
    """The nearest quarter turn to a direction that is a little askew, else the direction itself. Poppler takes turned
    letters apart, but steps from word to word, steeper ones, end its lines and those of others."""
    if _askew(math.atan2(along[1], along[0])) > math.radians(_STEEP):
        return along
    return float(round(along[0])), float(round(along[1]))


def _askew(angle: float) -> float:
    """Radians from an angle to the nearest quarter turn."""
    return abs(angle - round(angle / (math.pi / 2)) * math.pi / 2)


def _edges(word: Word, origin: Point, along: Point, frame: PageFrame) -> Point:
    """Where the word begins and ends on the baseline, from `origin`."""
    places = [frame.to_user(*corner) for corner in word.quad]
    top_left, top_right, foot_right, foot_left = (
        (x - origin[0]) * along[0] + (y - origin[1]) * along[1] for x, y in places
    )
    return (top_left + foot_left) / 2, (top_right + foot_right) / 2


def _scale(width: float, letters: int, size: float) -> float:
    return min(max(100 * width / (letters * _LETTER * size), _SCALES[0]), _SCALES[1])


def _number(value: float) -> str:
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
