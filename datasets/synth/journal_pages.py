"""Synthetic pages of journals, as PubLayNet draws them (Zhong et al. 2019, arXiv:1908.07836), for layout.

One to three columns of justified paragraphs with numbered headings, lists and references, tables between rules with
their titles and notes, figures of panels with labels and captions, running lines at head and foot; figures and tables
as wide as a column or as the page. The sheet is drawn large and reduced, so that body type is 9 to 24 pixels an em, as
pages of 72 to 200 dpi have it. Words are made-up. `pages.py` has the other kinds of pages, and scanned ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Block, Box, Page
from vitapps.datasets.synth.journal_blocks import MARKS, Type, items, panels, ruled_table
from vitapps.datasets.synth.page_blocks import cloud, paragraph
from vitapps.datasets.synth.page_sheet import Pen, Sheet, installed_faces, made_up_words, pen_of
from vitapps.datasets.synth.page_wear import moved_block, turn_sheet, wear
from vitapps.datasets.synth.pages import SyntheticPage
from vitapps.datasets.synth.text.fonts import Face

FIGURE_WORDS = ("Figure", "Fig.", "FIGURE", "Fig")
TABLE_WORDS = ("Table", "TABLE", "Tab.")


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """How one journal sets its pages. `indent` of a paragraph's first line and `gap` between paragraphs, in sizes of
    body type."""

    columns: int
    leading: float
    justified: bool
    indent: float
    gap: float
    before: float  # a heading
    after: float
    numbered: bool
    above: bool  # a table's title stands above it
    framed: bool  # figures and their captions


def make_journal_page(
    seed: int, *, body: tuple[float, float] = (9, 24), worn: bool = True, faces: tuple[Face, ...] = ()
) -> SyntheticPage:  # fmt: skip
    """The page of a seed, upright; `body`: range of the body type's size in pixels an em; `worn` False leaves it as a
    PDF is drawn; `faces` to set it in (none: those of this machine)."""
    rng = np.random.default_rng([seed, 7])
    size = int(rng.integers(15, 20))
    width = round(float(rng.uniform(46, 68)) * size)
    sheet = Sheet.blank(width, round(width * float(rng.uniform(1.25, 1.45))), rng, faces)
    _fill(sheet, _type(sheet, size), _house(rng, width / size))
    wanted = float(np.exp(rng.uniform(*np.log(body))))
    image, blocks = _reduced(np.asarray(sheet.ink), tuple(sheet.blocks), min(1.0, wanted / size))
    if worn and rng.random() < 0.35:
        image = wear(image, rng)
    if worn and rng.random() < 0.3:
        image, page = turn_sheet(image, blocks, turn=0, skew=float(rng.normal(scale=0.5)), rng=rng)
    else:
        page = Page(width=image.shape[1], height=image.shape[0], blocks=blocks)
    if worn and rng.random() < 0.5:
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 95))])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return SyntheticPage(image=image, page=page, kind="journal")


def _reduced(
    image: NDArray[np.uint8], blocks: tuple[Block, ...], scale: float
) -> tuple[NDArray[np.uint8], tuple[Block, ...]]:
    """The sheet at `scale`, and its blocks there."""
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    matrix = np.diag([size[0] / image.shape[1], size[1] / image.shape[0], 1.0])
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return small, tuple(moved_block(block, matrix) for block in blocks)


@lru_cache(maxsize=4)
def _families(faces: tuple[Face, ...]) -> tuple[tuple[Face, ...], ...]:
    """The faces of each family fit for text, by name."""
    names = sorted({face.family for face in faces if face.kind in ("book", "sans")} or {face.family for face in faces})
    return tuple(tuple(face for face in faces if face.family == name) for name in names)


def _face(family: tuple[Face, ...], *, heavy: bool = False, slanted: bool = False) -> Face:
    """The face of a family that is nearest to what is wanted."""
    return min(family, key=lambda face: ((face.heavy != heavy) + (face.slanted != slanted), len(face.style)))


def _type(sheet: Sheet, size: int) -> Type:
    rng = sheet.rng
    families = _families(sheet.faces or installed_faces())
    text = families[int(rng.integers(len(families)))]
    display = families[int(rng.integers(len(families)))] if rng.random() < 0.4 else text
    small = max(9, round(size * float(rng.uniform(0.75, 1.0))))
    heading = round(size * float(rng.choice([1.0, 1.1, 1.3], p=[0.5, 0.3, 0.2])))
    return Type(
        body=pen_of(_face(text), size),
        small=pen_of(_face(display if rng.random() < 0.3 else text), small),
        heading=pen_of(_face(display, heavy=rng.random() < 0.85), heading),
        minor=pen_of(_face(display, heavy=rng.random() < 0.4, slanted=rng.random() < 0.6), size),
        title=pen_of(_face(display, heavy=rng.random() < 0.7), round(size * float(rng.uniform(1.4, 2.3)))),
        running=pen_of(_face(text, slanted=rng.random() < 0.4), max(9, round(size * float(rng.uniform(0.75, 1.05))))),
    )


def _house(rng: np.random.Generator, ems: float) -> House:
    columns = 1 if ems < 50 else int(rng.choice([1, 2, 3], p=[0.25, 0.63, 0.12]))
    indented = rng.random() < 0.7
    return House(
        columns=columns,
        leading=float(rng.uniform(1.08, 1.35)) if rng.random() < 0.9 else float(rng.uniform(1.4, 2.0)),
        justified=rng.random() < 0.8,
        indent=float(rng.uniform(0.9, 2.0)) if indented else 0.0,
        gap=0.0 if indented and rng.random() < 0.8 else float(rng.uniform(0.3, 1.1)),
        before=float(rng.uniform(0.4, 1.4)),
        after=float(rng.uniform(0.0, 0.7)),
        numbered=rng.random() < 0.5,
        above=rng.random() < 0.85,
        framed=rng.random() < 0.12,
    )


def _fill(sheet: Sheet, pens: Type, house: House) -> None:
    rng, size = sheet.rng, pens.body.size
    width, height = sheet.ink.width, sheet.ink.height
    left, right = float(rng.uniform(2.5, 6)) * size, width - float(rng.uniform(2.5, 6)) * size
    top, end = float(rng.uniform(1.5, 4)) * size, height - float(rng.uniform(3, 6)) * size
    if rng.random() < 0.85:
        top = _running(sheet, pens.running, (left, top, right, end), "header")
    top += float(rng.uniform(0.8, 3)) * size
    if rng.random() < 0.15:
        top = _title_page(sheet, pens, house, (left, top, right, end))
    if rng.random() < 0.45:
        depth = top + float(rng.uniform(0.15, 0.55)) * (end - top)
        top = _float(sheet, pens, house, (left, top, right, depth)) + 1.5 * size
    gutter = float(rng.uniform(1.2, 2.6)) * size
    step = (right - left + gutter) / house.columns
    low = end - float(rng.uniform(0.15, 0.5)) * (end - top) if rng.random() < 0.15 else end
    for column in range(house.columns):
        start = left + column * step
        _column(sheet, pens, house, (start, top, start + step - gutter, low), short=low < end and column > 0)
    if low < end - 12 * size:
        _float(sheet, pens, house, (left, low + 1.5 * size, right, end))
    if rng.random() < 0.6:
        _running(sheet, pens.running, (left, end + float(rng.uniform(0.8, 1.6)) * size, right, height), "footer")


def _running(sheet: Sheet, pen: Pen, frame: Box, kind: str) -> float:
    """A page number, a running title, or both, at one end, in the middle or at both ends; a rule or a sign beside."""
    rng = sheet.rng
    x0, y, x1, y1 = frame
    number, words = [str(int(rng.integers(1, 999)))], made_up_words(rng, int(rng.integers(2, 8)))
    if rng.random() < 0.3:
        number = ["Page", *number, "of", str(int(rng.integers(2, 30)))]
    while len(words) > 1 and pen.width(words) > 0.7 * (x1 - x0):
        words.pop()
    form = int(rng.integers(5))
    lines = []
    if form in (0, 1):  # both ends, either way round
        first, last = (words, number) if form == 0 else (number, words)
        lines = [sheet.set_line(pen, first, x0, y + pen.top)]
        lines.append(sheet.set_line(pen, last, x1 - pen.width(last), y + pen.top))
    else:
        alone = number if form == 2 or (kind == "footer" and rng.random() < 0.5) else words
        free = x1 - x0 - pen.width(alone)
        lines = [sheet.set_line(pen, alone, x0 + free * float(rng.choice([0.0, 0.5, 1.0])), y + pen.top)]
    sheet.add(kind, lines)  # type: ignore[arg-type]
    foot = y + 1.3 * pen.size
    if rng.random() < 0.25:
        sheet.draw.line((x0, foot, x1, foot), fill=0, width=1)
    if kind == "header" and rng.random() < 0.08:
        _sign(sheet, ((x0 + x1) / 2, max(0.0, y - pen.size), (x0 + x1) / 2 + 3 * pen.size, y + 2 * pen.size))
    return min(foot, y1)


def _sign(sheet: Sheet, frame: Box) -> None:
    """A publisher's sign, a block of the header."""
    from PIL import Image

    x0, y0, x1, y1 = (int(value) for value in frame)
    sheet.ink.paste(Image.fromarray(cloud(sheet.rng, y1 - y0, x1 - x0)), (x0, y0))
    sheet.add("header", [], (x0, y0, x1, y1))


def _title_page(sheet: Sheet, pens: Type, house: House, frame: Box) -> float:
    """The title, authors and abstract over the columns."""
    rng, size = sheet.rng, pens.body.size
    x0, y, x1, y1 = frame
    align = "centre" if rng.random() < 0.5 else "left"
    title, authors = made_up_words(rng, int(rng.integers(5, 16))), made_up_words(rng, int(rng.integers(4, 20)))
    y = paragraph(sheet, pens.title, frame, words=title, align=align, kind="title") + 0.8 * size  # type: ignore[arg-type]
    y = paragraph(sheet, pens.body, (x0, y, x1, y1), words=authors, align=align) + 0.8 * size  # type: ignore[arg-type]
    if rng.random() < 0.6:
        places = made_up_words(rng, int(rng.integers(8, 30)))
        y = paragraph(sheet, pens.small, (x0, y, x1, y1), words=places, align=align) + 0.8 * size  # type: ignore[arg-type]
    if rng.random() < 0.7:
        inset = float(rng.choice([0.0, 3.0])) * size
        if rng.random() < 0.6:
            y = paragraph(sheet, pens.heading, (x0 + inset, y, x1, y1), words=["Abstract"], align="left", kind="title")
        abstract = made_up_words(rng, int(rng.integers(60, 200)))
        y = paragraph(sheet, pens.body, (x0 + inset, y, x1 - inset, y1), words=abstract, leading=house.leading) + size
    return y + size


def _float(sheet: Sheet, pens: Type, house: House, frame: Box) -> float:
    """A table or a figure with its words, in the frame."""
    rng, size = sheet.rng, pens.body.size
    x0, y, x1, y1 = frame
    if y1 - y < 8 * size:
        return y
    if rng.random() < 0.5:
        if house.above:
            y = _caption(sheet, pens.small, (x0, y, x1, y1), TABLE_WORDS) + 0.3 * size
        y = ruled_table(sheet, pens.small, (x0, y, x1, y1))
        if rng.random() < 0.4:
            notes = made_up_words(rng, int(rng.integers(3, 30)))
            y = paragraph(sheet, pens.small, (x0, y + 0.2 * size, x1, y1 + 3 * size), words=notes, align="left")
        return y if house.above else _caption(sheet, pens.small, (x0, y + 0.3 * size, x1, y1 + 3 * size), TABLE_WORDS)
    top, inset = y, 0.8 * size if house.framed else 0.0
    y = panels(sheet, pens.small, (x0 + inset, y + inset, x1 - inset, y1 - 3.5 * size)) + float(
        rng.uniform(0.4, 1.2)
    ) * size  # fmt: skip
    y = _caption(sheet, pens.small, (x0 + inset, y, x1 - inset, y1 + 2 * size), FIGURE_WORDS)
    if house.framed:
        sheet.draw.rectangle((x0, top, x1, y + 0.5 * inset), outline=60, width=1)
    return y + inset


def _caption(sheet: Sheet, pen: Pen, frame: Box, names: tuple[str, ...]) -> float:
    """The words of a table or a figure, beginning with its number."""
    rng = sheet.rng
    words = [str(rng.choice(names)), f"{int(rng.integers(1, 12))}{rng.choice(['.', ':', ''])}"]
    words += made_up_words(rng, int(rng.integers(3, 14) if rng.random() < 0.5 else rng.integers(14, 70)))
    align = "centre" if rng.random() < 0.2 else "justify" if rng.random() < 0.6 else "left"
    return paragraph(sheet, pen, frame, words=words, align=align, kind="caption", leading=1.15)  # type: ignore[arg-type]


def _column(sheet: Sheet, pens: Type, house: House, frame: Box, *, short: bool) -> None:
    """Paragraphs, headings, lists, tables and figures until the column is full; the first paragraph goes on from the
    page before. `short` columns may end early."""
    rng, size = sheet.rng, pens.body.size
    x0, y, x1, y1 = frame
    if short and rng.random() < 0.3:
        y1 -= float(rng.uniform(0, 0.3)) * (y1 - y)
    y = _text(sheet, pens, house, (x0, y, x1, y1), indent=0.0)
    while y + 3 * size < y1:
        draw = rng.random()
        if draw < 0.2:
            y = _heading(sheet, pens, house, (x0, y, x1, y1))
            y = _text(sheet, pens, house, (x0, y, x1, y1), indent=house.indent if rng.random() < 0.5 else 0.0)
        elif draw < 0.28:
            mark, pen = str(rng.choice(MARKS)), pens.small if rng.random() < 0.3 else pens.body
            number = int(rng.integers(2, 7)) if rng.random() < 0.6 else 40
            y = items(sheet, pen, (x0, y + 0.4 * size, x1, y1), leading=house.leading, number=number, mark=mark)
            y += 0.4 * size
        elif draw < 0.46 and y1 - y > 14 * size and x1 - x0 > 14 * size:
            depth = y + float(rng.uniform(10, 26)) * size
            y = _float(sheet, pens, house, (x0, y + 0.6 * size, x1, min(y1 - 3 * size, depth))) + 1.2 * size
        elif draw < 0.49 and x1 - x0 > 20 * size:
            inset = float(rng.uniform(1.5, 3)) * size
            y = _text(sheet, pens, house, (x0 + inset, y + 0.5 * size, x1 - inset, y1), indent=0.0) + 0.5 * size
        else:
            y = _text(sheet, pens, house, (x0, y, x1, y1), indent=house.indent)


def _text(sheet: Sheet, pens: Type, house: House, frame: Box, *, indent: float) -> float:
    words = made_up_words(sheet.rng, int(sheet.rng.choice([12, 40, 90, 160]) * sheet.rng.uniform(0.5, 1.5)))
    end = paragraph(
        sheet, pens.body, frame, words=words, align="justify" if house.justified else "left", leading=house.leading,
        indent=indent * pens.body.size,
    )  # fmt: skip
    return end + house.gap * pens.body.size


def _heading(sheet: Sheet, pens: Type, house: House, frame: Box) -> float:
    """A heading of one of two levels, numbered where the journal numbers them; now and then one follows another."""
    rng, size = sheet.rng, pens.body.size
    x0, y, x1, y1 = frame
    minor = rng.random() < 0.5
    for level in [False, True] if rng.random() < 0.15 else [minor]:
        pen = pens.minor if level else pens.heading
        words = made_up_words(rng, int(rng.integers(1, 8)), figures=0.0)
        if house.numbered:
            words.insert(0, f"{rng.integers(1, 9)}.{rng.integers(1, 9)}." if level else f"{rng.integers(1, 9)}.")
        y += max(0.0, house.before - house.gap) * size
        if y + 4 * size > y1:
            return y1
        y = paragraph(sheet, pen, (x0, y, x1, y1), words=words, align="left", kind="title") + house.after * size
    return y
