"""Synthetic pages with the place of every line and word, block kinds and reading order; deterministic from a seed.

Kinds: `article` (1 to 4 columns, running headers and footers, titles, lists, tables, figures with captions, margin
notes), `receipt` (narrow, sparse, two-sided rows, bar codes; the picture is the paper, or the paper lies on a table),
`screen` (panels, some with light letters on dark), `sparse` (a title page, a letter, a few words, nothing at all) and
`poster` (large lines beside line art). Then the sheet is turned by up to 5 degrees and by quarter turns, and worn
(`page_wear.py`). Words are made-up: the pages teach where writing is, not what it says.

No page here was scanned: paper, light and dirt are simple models, and a score on these pages says nothing about others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitapps.datasets.formats.page_text import Box, Page
from vitapps.datasets.synth.page_blocks import (
    bar_code,
    bullet_list,
    cloud,
    figure,
    line_art,
    paragraph,
    rule,
    table,
)
from vitapps.datasets.synth.page_sheet import Grey, Pen, Sheet, made_up_words, pen_of
from vitapps.datasets.synth.page_wear import turn_sheet, wear
from vitapps.datasets.synth.text.fonts import Face

PageKind = Literal["article", "receipt", "screen", "sparse", "poster"]
KINDS: tuple[PageKind, ...] = ("article", "receipt", "screen", "sparse", "poster")
_SHARES = (0.5, 0.27, 0.09, 0.07, 0.07)
_EXTENTS: dict[PageKind, tuple[tuple[float, float], tuple[float, float]]] = {  # width, height in sizes of body type
    "article": ((32, 62), (40, 80)), "receipt": ((20, 34), (28, 80)), "screen": ((45, 75), (30, 60)),
    "sparse": ((25, 60), (30, 70)), "poster": ((24, 45), (30, 60)),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticPage:
    """`image` H W uint8; `page`: what stands where on it, `rotation` and `skew` as a reader should find them."""

    image: Grey
    page: Page
    kind: PageKind | Literal["scene", "journal"]  # `scenes.py`, `journal_pages.py`


def make_page(
    seed: int, *, kind: PageKind | None = None, turn: int | None = None, skew: float | None = None, worn: bool = True,
    body: tuple[int, int] = (12, 30), largest: int = 2600, faces: tuple[Face, ...] = (),
) -> SyntheticPage:  # fmt: skip
    """The page of a seed. `turn`: degrees clockwise that make it upright again, a multiple of 90 (None: mostly 0);
    `skew` in degrees; `body`: range of the body type's size, pixels an em; `worn` False leaves clean black on white; no
    side of the sheet is longer than `largest` pixels; `faces` to set it in (none: those of this machine)."""
    rng = np.random.default_rng(seed)
    kind = kind or KINDS[int(rng.choice(len(KINDS), p=_SHARES))]
    size = round(float(np.exp(rng.uniform(*np.log(body)))))
    width, height = (min(largest, int(rng.uniform(low, high) * size)) for low, high in _EXTENTS[kind])
    sheet = Sheet.blank(width, height, rng, faces)
    fill = {"article": _article, "receipt": _receipt, "screen": _screen, "sparse": _sparse, "poster": _poster}[kind]
    fill(sheet, size)
    if turn is None:
        turn = int(rng.choice([0, 90, 180, 270], p=[0.7, 0.1, 0.1, 0.1]))
    if skew is None:
        skew = float(rng.normal(scale=0.7)) if rng.random() < 0.6 else float(rng.uniform(-5, 5))
    image = np.asarray(sheet.ink)
    if worn:
        image = wear(image, rng, receipt=kind == "receipt")
    image, page = turn_sheet(image, tuple(sheet.blocks), turn=turn, skew=skew, rng=rng)
    return SyntheticPage(image=image, page=page, kind=kind)


def _pens(sheet: Sheet, size: int) -> tuple[Pen, Pen, Pen]:
    """Body, small and title type."""
    rng, body, title = sheet.rng, sheet.some_face(), sheet.some_face()
    small = max(8, round(size * rng.uniform(0.7, 0.9)))
    return pen_of(body, size), pen_of(body, small), pen_of(title, round(size * rng.uniform(1.1, 2.8)))


def _article(sheet: Sheet, size: int) -> None:
    rng, width, height = sheet.rng, sheet.ink.width, sheet.ink.height
    body, small, title = _pens(sheet, size)
    left, top = rng.uniform(2, 5, 2) * size
    right, bottom = width - left, height - rng.uniform(2, 5) * size
    columns = int(rng.choice([1, 2, 3, 4], p=[0.35, 0.4, 0.17, 0.08]))
    if width / columns < 11 * size:
        columns = max(1, int(width / (11 * size)))
    notes = columns == 1 and rng.random() < 0.15
    if rng.random() < 0.6:
        top = _running_line(sheet, small, (left, top, right, top + 2 * size), "header")
    foot = rng.random() < 0.6
    end = bottom - 2.5 * size if foot else bottom
    if rng.random() < 0.6:
        words = made_up_words(rng, int(rng.integers(1, 9)))
        top = paragraph(sheet, title, (left, top, right, end), words=words, align="centre", kind="title") + size
        if rng.random() < 0.5:
            words = made_up_words(rng, int(rng.integers(2, 12)))
            top = paragraph(sheet, small, (left, top, right, end), words=words, align="centre") + size
    inner = left + 9 * size if notes else left
    gutter = rng.uniform(1.2, 3) * size
    step = (right - inner + gutter) / columns
    for column in range(columns):
        start = inner + column * step
        _column(sheet, (body, small, title), (start, top, start + step - gutter, end))
        if column and rng.random() < 0.12:
            sheet.draw.line((start - gutter / 2, top, start - gutter / 2, end), fill=0, width=1)
    if notes:
        _margin_notes(sheet, small, (left, top, inner - 1.5 * size, end))
    if foot:
        _running_line(sheet, small, (left, end + size, right, bottom), "footer")


def _column(sheet: Sheet, pens: tuple[Pen, Pen, Pen], frame: Box) -> None:
    """Paragraphs with the odd heading, list, table or figure until the column is full."""
    rng = sheet.rng
    body, small, title = pens
    x0, y, x1, y1 = frame
    leading = float(rng.uniform(1.05, 1.6))
    align = "justify" if rng.random() < 0.6 else "left"
    indent = float(rng.choice([0, 1.5])) * body.size
    gap = float(rng.choice([0.0, 0.5, 1.0])) * body.size
    while y + 2 * body.size < y1:
        draw = rng.random()
        if draw < 0.1:
            words = made_up_words(rng, int(rng.integers(1, 6)))
            pen = title if x1 - x0 > 16 * title.size and rng.random() < 0.4 else body
            y = paragraph(sheet, pen, (x0, y + 0.6 * body.size, x1, y1), words=words, align="left", kind="title")
        elif draw < 0.18:
            y = bullet_list(sheet, body, (x0, y, x1, y1), leading=leading)
        elif draw < 0.25 and x1 - x0 > 14 * body.size:
            y = table(sheet, small if rng.random() < 0.5 else body, (x0, y + 0.4 * body.size, x1, y1)) + body.size
        elif draw < 0.33 and y1 - y > 12 * body.size:
            y = figure(sheet, (x0, y + 0.5 * body.size, x1, y + rng.uniform(5, 16) * body.size)) + 0.7 * body.size
            words = made_up_words(rng, int(rng.integers(3, 25)))
            y = paragraph(sheet, small, (x0, y, x1, y1), words=words, align="left", kind="caption") + body.size
        elif draw < 0.36:
            y = rule(sheet, (x0, y + 0.4 * body.size, x1, y)) + 0.6 * body.size
        else:
            y = paragraph(sheet, body, (x0, y, x1, y1), align=align, leading=leading, indent=indent)  # type: ignore[arg-type]
        y += gap


def _margin_notes(sheet: Sheet, pen: Pen, frame: Box) -> None:
    x0, y, x1, y1 = frame
    while (y := y + float(sheet.rng.uniform(1, 14)) * pen.size) + 3 * pen.size < y1:
        y = paragraph(sheet, pen, (x0, y, x1, y1), words=made_up_words(sheet.rng, 5), align="left")


def _running_line(sheet: Sheet, pen: Pen, frame: Box, kind: Literal["header", "footer"]) -> float:
    """A page number, a running title, or both at the two ends."""
    rng = sheet.rng
    x0, y0, x1, _ = frame
    number = [str(int(rng.integers(1, 999)))]
    parts = [number] if rng.random() < 0.4 else [made_up_words(rng, int(rng.integers(1, 6))), number]
    lines = [sheet.set_line(pen, parts[0], x0 if len(parts) == 2 else rng.uniform(x0, 0.9 * x1), y0 + pen.top)]
    if len(parts) == 2:
        lines.append(sheet.set_line(pen, parts[1], x1 - pen.width(parts[1]), y0 + pen.top))
    sheet.add(kind, lines)
    if rng.random() < 0.3:
        rule(sheet, (x0, y0 + 1.3 * pen.size, x1, 0))
    return y0 + 2.2 * pen.size


def _receipt(sheet: Sheet, size: int) -> None:
    rng, width, height = sheet.rng, sheet.ink.width, sheet.ink.height
    body, small, _ = _pens(sheet, size)
    large = pen_of(sheet.some_face(), round(size * rng.uniform(1.1, 1.7)))
    x0, x1 = rng.uniform(0.5, 3) * size, width - rng.uniform(0.5, 3) * size
    y, y1 = rng.uniform(1, 5) * size, height - rng.uniform(1, 5) * size
    leading = float(rng.uniform(1.02, 1.7))
    y = paragraph(sheet, large, (x0, y, x1, y1), words=made_up_words(rng, 3), align="centre", kind="title")
    while y + 2 * size < y1:
        draw = rng.random()
        pen = body if rng.random() < 0.85 else (large if rng.random() < 0.7 else small)
        if draw < 0.3:
            words = _shouted(rng, int(rng.integers(2, 14)))
            y = paragraph(sheet, pen, (x0, y, x1, y1), words=words, align="centre", leading=leading)
        elif draw < 0.38:
            y = rule(sheet, (x0, y + 0.5 * size, x1, y)) + 0.5 * size
        elif draw < 0.42 and y1 - y > 5 * size:
            y = bar_code(sheet, (x0 + 2 * size, y + size, x1 - 2 * size, y + 3.5 * size)) + size
        elif draw < 0.52:
            y = table(sheet, pen, (x0, y, x1, min(y1, y + 8 * size)), leading=max(1.1, leading), kind="text")
        else:
            y = _two_sided(sheet, pen, (x0, y, x1, y1), leading)
        y += float(rng.choice([0.0, 0.0, 0.6, 1.5])) * size
    if rng.random() < 0.25:
        line_art(sheet, (int(x0), 0, int(x1), int(3 * size)))


def _shouted(rng: np.random.Generator, number: int) -> list[str]:
    words = made_up_words(rng, number, figures=0.25)
    return [word.upper() for word in words] if rng.random() < 0.6 else words


def _two_sided(sheet: Sheet, pen: Pen, frame: Box, leading: float) -> float:
    """Names at the left, sums at the right."""
    x0, y, x1, y1 = frame
    rng = sheet.rng
    for _ in range(int(rng.integers(1, 6))):
        if y + pen.size * leading > y1:
            break
        words, total = _shouted(rng, int(rng.integers(1, 5))), made_up_words(rng, int(rng.integers(1, 3)), figures=1.0)
        while len(words) > 1 and pen.width(words) > 0.6 * (x1 - x0):
            words.pop()
        left = sheet.set_line(pen, words, x0, y + pen.top)
        start = x1 - pen.width(total)
        if start > left.box[2] + 1.6 * pen.size:
            sheet.add("text", [left, sheet.set_line(pen, total, start, y + pen.top)])
        else:
            sheet.add("text", [left])
        y += pen.size * leading
    return y


def _screen(sheet: Sheet, size: int) -> None:
    """Panels side by side, some dark with light letters."""
    rng, width, height = sheet.rng, sheet.ink.width, sheet.ink.height
    body, small, title = _pens(sheet, size)
    y = 0.0
    while y + 8 * size < height:
        depth, x = float(rng.uniform(5, 16)) * size, 0.0
        while x + 8 * size < width:
            step = float(rng.uniform(8, 40)) * size
            frame = (x, y, min(width, x + step), min(height, y + depth))
            _panel(sheet, body if rng.random() < 0.7 else (small if rng.random() < 0.5 else title), frame)
            x += step
        y += depth


def _panel(sheet: Sheet, pen: Pen, frame: Box) -> None:
    rng = sheet.rng
    x0, y0, x1, y1 = frame
    inner = (x0 + pen.size, y0 + 0.6 * pen.size, x1 - pen.size, y1 - 0.4 * pen.size)
    if inner[2] - inner[0] < 5 * pen.size or inner[3] - inner[1] < 1.5 * pen.size:
        return
    words = made_up_words(rng, int(rng.integers(1, 40)))
    if rng.random() < 0.6:
        paragraph(sheet, pen, inner, words=words, align="left", leading=float(rng.uniform(1.1, 1.6)))
    elif rng.random() < 0.5:
        table(sheet, pen, inner)
    else:
        figure(sheet, inner)
    if rng.random() < 0.35:
        _invert(sheet, frame)


def _invert(sheet: Sheet, frame: Box) -> None:
    from PIL import ImageOps

    box = tuple(int(value) for value in frame)
    sheet.ink.paste(ImageOps.invert(sheet.ink.crop(box)), box)


def _sparse(sheet: Sheet, size: int) -> None:
    """A page with little on it, or nothing."""
    rng, width, height = sheet.rng, sheet.ink.width, sheet.ink.height
    pens = _pens(sheet, size)
    for _ in range(int(rng.integers(0, 6))):
        left, y = rng.uniform(0, 0.5) * width, rng.uniform(0.05, 0.9) * height
        used = [block.box for block in sheet.blocks]
        if any(y < box[3] + 3 * size and y + 9 * size > box[1] for box in used):
            continue
        words = made_up_words(rng, int(rng.integers(1, 30)))
        frame = (left, y, min(width - size, left + rng.uniform(12, 40) * size), min(height - size, y + 8 * size))
        if frame[2] - left > 6 * size:
            paragraph(sheet, pens[int(rng.integers(3))], frame, words=words, align="left")
    sheet.blocks.sort(key=lambda block: block.box[1])


def _poster(sheet: Sheet, size: int) -> None:
    """Verses in large type between art at the edges, over a shaded ground now and then."""
    from PIL import Image, ImageChops

    rng, width, height = sheet.rng, sheet.ink.width, sheet.ink.height
    body, _, title = _pens(sheet, size)
    third = width // 4
    for x in (0, width - third):
        if rng.random() < 0.6:
            line_art(sheet, (x, int(rng.uniform(0, height / 2)), x + third, height))
    frame = (third + size, rng.uniform(1, 4) * size, width - third - size, height - 2 * size)
    words = made_up_words(rng, int(rng.integers(1, 5)))
    y = paragraph(sheet, title, frame, words=words, align="centre", kind="title")
    while y + 4 * size < frame[3]:
        words = made_up_words(rng, int(rng.integers(6, 50)))
        y = paragraph(sheet, body, (frame[0], y, frame[2], frame[3]), words=words, align="centre") + size
    if rng.random() < 0.4:
        ground = Image.fromarray((cloud(rng, height, width) // 3 + 150).astype(np.uint8))
        sheet.ink = ImageChops.multiply(sheet.ink, ground)
    if rng.random() < 0.25:
        _invert(sheet, (0, 0, width, height))
