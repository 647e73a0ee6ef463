"""What stands on a page: paragraphs, titles, lists, tables, figures, rules. Each draws itself and adds its block.

Every function takes the `Sheet`, a pen and a frame `x0 y0 x1 y1` and returns the y where it ended.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from vitapps.datasets.formats.page_text import BlockKind, Box, Line
from vitapps.datasets.synth.page_sheet import Pen, Sheet, made_up_words

Align = Literal["left", "centre", "right", "justify"]
BULLETS = ("•", "-", "*", "–", "1.", "(a)", "ii.")


def wrapped(pen: Pen, words: list[str], width: float, indent: float = 0.0) -> list[list[str]]:
    """Words broken into lines no wider than `width`, the first shorter by `indent`; a word that is too wide is cut."""
    lines: list[list[str]] = []
    line: list[str] = []
    used, room = 0.0, width - indent
    for word in words:
        while len(word) > 1 and pen.font.getlength(word) > width:
            word = word[:-1]
        length = float(pen.font.getlength(word))
        if line and used + pen.space + length > room:
            lines.append(line)
            line, used, room = [], 0.0, width
        used += length + (pen.space if line else 0.0)
        line.append(word)
    return [*lines, line] if line else lines


def paragraph(
    sheet: Sheet, pen: Pen, frame: Box, *, words: list[str] | None = None, align: Align = "justify",
    leading: float = 1.2, kind: BlockKind = "text", indent: float = 0.0,
) -> float:  # fmt: skip
    """Text that fills the frame from its top as far as the words or the frame go."""
    x0, y0, x1, y1 = frame
    words = words or made_up_words(sheet.rng, int(sheet.rng.integers(12, 130)))
    rows = wrapped(pen, words, x1 - x0, indent)
    baseline = y0 + pen.top
    set_lines: list[Line] = []
    for number, row in enumerate(rows):
        if baseline + pen.foot > y1:
            break
        left = x0 + (indent if number == 0 else 0.0)
        free = x1 - left - pen.width(row)
        space = 0.0
        if align == "justify" and number + 1 < len(rows) and len(row) > 1 and free < 0.35 * (x1 - x0):
            space = pen.space + free / (len(row) - 1)
        elif align in ("centre", "right"):
            left += free / (2 if align == "centre" else 1)
        set_lines.append(sheet.set_line(pen, row, left, baseline, space=space))
        baseline += pen.size * leading
    sheet.add(kind, set_lines)
    return baseline - pen.top if set_lines else y1


def bullet_list(sheet: Sheet, pen: Pen, frame: Box, *, leading: float = 1.2) -> float:
    """Items with a mark and a hanging indent; one block."""
    x0, y, x1, y1 = frame
    mark = str(sheet.rng.choice(BULLETS))
    lines: list[Line] = []
    for _ in range(int(sheet.rng.integers(2, 7))):
        step = float(pen.font.getlength(mark)) + pen.space
        rows = wrapped(pen, made_up_words(sheet.rng, int(sheet.rng.integers(3, 24))), x1 - x0 - step)
        for number, row in enumerate(rows):
            if y + pen.top + pen.foot > y1:
                break
            first = number == 0
            lines.append(sheet.set_line(pen, [mark, *row] if first else row, x0 if first else x0 + step, y + pen.top))
            y += pen.size * leading
    sheet.add("list", lines)
    return y


def table(sheet: Sheet, pen: Pen, frame: Box, *, leading: float = 1.35, kind: BlockKind = "table") -> float:
    """Rows of cells, figures at the right of their column, with rules or without; every cell is a line."""
    x0, y, x1, y1 = frame
    rng = sheet.rng
    columns = int(rng.integers(2, max(3, min(7, int((x1 - x0) / (5 * pen.size))))))
    edges = x0 + (x1 - x0) * np.concatenate([[0], np.cumsum(rng.dirichlet(np.full(columns, 6.0)))])
    ruled = int(rng.integers(3))
    lines: list[Line] = []
    top = y
    for row in range(int(rng.integers(3, 14))):
        if y + pen.size * leading > y1:
            break
        for column in range(columns):
            room = edges[column + 1] - edges[column] - pen.size
            cell = _cell(sheet, row, column)
            while cell and pen.width(cell) > room:
                cell = cell[:-1]
            if cell:
                right = column > 0 and row > 0
                left = edges[column + 1] - pen.size / 2 - pen.width(cell) if right else edges[column] + pen.size / 2
                lines.append(sheet.set_line(pen, cell, left, y + pen.top + 0.1 * pen.size))
        y += pen.size * leading
        if ruled and (ruled == 2 or row == 0):
            sheet.draw.line((x0, y - 0.08 * pen.size, x1, y - 0.08 * pen.size), fill=0, width=1)
    if ruled == 2:
        for edge in edges:
            sheet.draw.line((edge, top, edge, y), fill=0, width=1)
    sheet.add(kind, lines, (x0, top, x1, y))
    return y + 0.3 * pen.size


def _cell(sheet: Sheet, row: int, column: int) -> list[str]:
    if row and column and sheet.rng.random() < 0.85:
        return made_up_words(sheet.rng, 1, figures=1.0)
    return made_up_words(sheet.rng, int(sheet.rng.integers(1, 4)), figures=0.1)


def figure(sheet: Sheet, frame: Box) -> float:
    """A photograph (coloured noise), line art, a chart or hatching: what is no writing."""
    from PIL import Image

    x0, y0, x1, y1 = (int(value) for value in frame)
    width, height = max(8, x1 - x0), max(8, y1 - y0)
    if sheet.rng.random() < 0.5:
        sheet.ink.paste(Image.fromarray(cloud(sheet.rng, height, width)), (x0, y0))
    else:
        line_art(sheet, (x0, y0, x0 + width, y0 + height))
    sheet.add("figure", [], (x0, y0, x0 + width, y0 + height))
    return float(y0 + height)


def cloud(rng: np.random.Generator, height: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Noise of three scales, H W uint8: a photograph's play of light without its subject."""
    import cv2

    total = np.zeros((height, width), np.float32)
    for cells, weight in ((3, 1.0), (12, 0.6), (48, 0.45)):
        coarse = rng.normal(size=(cells, cells)).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    total += rng.normal(scale=rng.uniform(0.02, 0.3), size=total.shape).astype(np.float32)
    shade = 125 + total * rng.uniform(30, 70)
    if rng.random() < 0.3:  # a halftone or a bilevel scan of it
        shade = np.where(shade + rng.normal(scale=40, size=shade.shape) > 125, 255.0, 0.0)
    return np.asarray(shade.clip(0, 255), np.uint8)


def line_art(sheet: Sheet, frame: tuple[int, int, int, int]) -> None:
    """Random strokes, boxes, ellipses, hatching or bars."""
    x0, y0, x1, y1 = frame
    rng, draw = sheet.rng, sheet.draw
    if rng.random() < 0.4:
        draw.rectangle(frame, outline=0, width=int(rng.integers(1, 4)))
    for _ in range(int(rng.integers(4, 40))):
        xs, ys = np.sort(rng.uniform(x0, x1, 2)), np.sort(rng.uniform(y0, y1, 2))
        corner = (float(xs[0]), float(ys[0]), float(xs[1]), float(ys[1]))
        shade, width = int(rng.integers(0, 160)), int(rng.integers(1, 5))
        form = int(rng.integers(5))
        if form == 0:
            draw.line(
                [(float(rng.uniform(x0, x1)), float(rng.uniform(y0, y1))) for _ in range(4)], fill=shade, width=width
            )
        elif form == 1:
            draw.ellipse(corner, outline=shade, width=width)
        elif form == 2:
            draw.rectangle(corner, outline=shade, width=width)
        elif form == 3:
            draw.arc(corner, float(rng.uniform(0, 360)), float(rng.uniform(0, 360)), fill=shade, width=width)
        else:
            step = int(rng.integers(4, 14))
            for place in range(int(xs[0]), int(min(xs[1], xs[0] + 20 * step)), step):
                draw.line((place, float(ys[0]), place + step, float(ys[1])), fill=shade, width=1)


def bar_code(sheet: Sheet, frame: Box) -> float:
    """Upright bars of several widths."""
    x0, y0, x1, y1 = frame
    x = x0
    while x < x1:
        width = float(sheet.rng.integers(1, 5))
        sheet.draw.rectangle((x, y0, x + width, y1), fill=0)
        x += width + float(sheet.rng.integers(1, 5))
    return y1


def rule(sheet: Sheet, frame: Box) -> float:
    """One level line, full, double, dotted or of hyphens."""
    x0, y0, x1, _ = frame
    form = int(sheet.rng.integers(4))
    if form < 2:
        for shift in range(0, 4 * (form + 1), 4):
            sheet.draw.line((x0, y0 + shift, x1, y0 + shift), fill=0, width=int(sheet.rng.integers(1, 4)))
    else:
        step = int(sheet.rng.integers(4, 12))
        for x in range(int(x0), int(x1), step):
            sheet.draw.line(
                (x, y0, x + step * (0.3 if form == 2 else 0.65), y0), fill=0, width=int(sheet.rng.integers(1, 3))
            )
    return y0 + 8
