"""What stands on a journal's page beside its paragraphs: tables between rules, charts, panels, diagrams, lists.

Every function takes the `Sheet`, the page's `Type` and a frame `x0 y0 x1 y1`, draws its block and returns the y where
it ended. Tables and figures hold the lines of their cells and labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitapps.datasets.formats.page_text import Box, Line, around, quad_of
from vitapps.datasets.synth.page_blocks import cloud, wrapped
from vitapps.datasets.synth.page_sheet import Pen, Sheet, made_up_words

Panel = Literal["photograph", "chart", "diagram"]
PANELS: tuple[Panel, ...] = ("photograph", "chart", "diagram")
GRIDS = ((1, 1), (1, 1), (1, 2), (2, 1), (2, 2), (1, 3), (2, 3), (3, 2))  # rows, columns of panels
MARKS = ("•", "–", "{}.", "({})", "[{}]", "{})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Type:
    """The pens of a page: `body`, `small` for captions, notes and cells, `heading`, `minor` for headings below it,
    `title`, `running` for header and footer."""

    body: Pen
    small: Pen
    heading: Pen
    minor: Pen
    title: Pen
    running: Pen


def items(sheet: Sheet, pen: Pen, frame: Box, *, leading: float, number: int, mark: str) -> float:
    """A list with hanging items, its marks counting where `mark` has a place for the number; one block."""
    rng = sheet.rng
    x0, y, x1, y1 = frame
    inset = float(rng.choice([0.0, 1.5])) * pen.size
    step = float(pen.font.getlength(mark.format(88))) + float(rng.uniform(0.3, 1.0)) * pen.size
    gap = float(rng.choice([0.0, 0.0, 0.4])) * pen.size
    first = int(rng.integers(1, 40))
    lines: list[Line] = []
    for place in range(number):
        rows = wrapped(pen, made_up_words(rng, int(rng.integers(4, 36))), x1 - x0 - inset - step)
        for at, row in enumerate(rows):
            if y + pen.top + pen.foot > y1:
                break
            start = x0 + inset + step
            line = sheet.set_line(pen, row, start, y + pen.top)
            if at == 0:
                sign = sheet.set_line(pen, [mark.format(first + place)], x0 + inset, y + pen.top)
                line = Line(words=sign.words + line.words, quad=quad_of(around([sign.box, line.box])))
            lines.append(line)
            y += pen.size * leading
        y += gap
    sheet.add("list", lines)
    return y


def ruled_table(sheet: Sheet, pen: Pen, frame: Box) -> float:
    """Rows of cells between level rules, of figures or of prose in several lines, with a shaded head now and then."""
    rng = sheet.rng
    x0, y, x1, y1 = frame
    columns = int(rng.integers(2, max(3, min(10, int((x1 - x0) / (5.5 * pen.size))))))
    edges = x0 + (x1 - x0) * np.concatenate([[0], np.cumsum(rng.dirichlet(np.full(columns, 7.0)))])
    prose, align = rng.random() < 0.35, str(rng.choice(["left", "centre", "right"]))
    rules = str(rng.choice(["three", "rows", "grid", "none"], p=[0.7, 0.12, 0.1, 0.08]))
    shaded, banded = rng.random() < 0.2, rng.random() < 0.1
    leading, top = float(rng.uniform(1.15, 1.9)), y
    gap = float(rng.choice([0.0, 0.3, 0.8])) * pen.size if prose else 0.0
    lines: list[Line] = []
    heights = [top]
    for row in range(int(rng.integers(3, 22))):
        cells = _row(sheet, pen, edges, row, prose=prose)
        depth = max(1, *(len(cell) for cell in cells)) * leading * pen.size + gap
        if y + depth > y1:
            break
        if (shaded and row == 0) or (banded and row % 2):
            sheet.draw.rectangle((x0, y, x1, y + depth), fill=int(rng.integers(195, 240)))
        for column, cell in enumerate(cells):
            for at, words in enumerate(cell):
                left = _start(pen, words, edges[column], edges[column + 1], align if column else "left")
                base = y + at * leading * pen.size + pen.top + 0.5 * (leading - 1) * pen.size
                lines.append(sheet.set_line(pen, words, left, base))
        y += depth
        heights.append(y)
    _rules(sheet, edges, heights, rules)
    sheet.add("table", lines, (x0, top, x1, y))
    return y + 0.2 * pen.size


def _row(sheet: Sheet, pen: Pen, edges: np.ndarray, row: int, *, prose: bool) -> list[list[list[str]]]:
    """The lines of the cells of a row; an empty cell has none."""
    rng = sheet.rng
    cells: list[list[list[str]]] = []
    section = row > 1 and rng.random() < 0.08  # a name of the rows below it, alone
    for column in range(len(edges) - 1):
        room = float(edges[column + 1] - edges[column]) - 0.9 * pen.size
        figures = row > 0 and column > 0 and not (prose and column < 3)
        number = int(rng.integers(1, 3 if figures else 9 if prose else 4))
        empty = (section and column > 0) or rng.random() < (0.3 if row == 0 and column == 0 else 0.05)
        words = [] if empty else made_up_words(rng, number, figures=0.95 if figures else 0.05)
        cells.append(wrapped(pen, words, room)[: 5 if prose else 1 if row else 2])
    return cells


def _start(pen: Pen, words: list[str], left: float, right: float, align: str) -> float:
    free = right - left - 0.9 * pen.size - pen.width(words)
    return float(left + 0.45 * pen.size + {"left": 0.0, "centre": 0.5, "right": 1.0}[align] * max(0.0, free))


def _rules(sheet: Sheet, edges: np.ndarray, heights: list[float], style: str) -> None:
    """The level rules of a table at the tops of its rows and its foot, and the upright ones of a grid."""
    if style == "none" or len(heights) < 3:
        return
    levels = heights if style != "three" else [heights[0], heights[1], heights[-1]]
    width = int(sheet.rng.integers(1, 3))
    for y in levels:
        sheet.draw.line((edges[0], y, edges[-1], y), fill=int(sheet.rng.integers(0, 90)), width=width)
    for x in edges if style == "grid" else ():
        sheet.draw.line((x, heights[0], x, heights[-1]), fill=60, width=1)


def panels(sheet: Sheet, pen: Pen, frame: Box) -> float:
    """A figure of one or several panels of photographs, charts or diagrams, lettered or not; one block."""
    rng = sheet.rng
    x0, y0, x1, y1 = frame
    rows, columns = GRIDS[int(rng.integers(len(GRIDS)))]
    if x1 - x0 < 18 * pen.size * columns:
        columns = 1
    if y1 - y0 < 8 * pen.size * rows:
        rows = 1
    inset = float(rng.uniform(0, 0.15)) * (x1 - x0) if columns == 1 else 0.0
    space = float(rng.choice([0.15, 0.6, 1.2])) * pen.size
    wide, high = (x1 - x0 - 2 * inset + space) / columns, (y1 - y0 + space) / rows
    mixed, usual, lettered = rng.random() < 0.3, PANELS[int(rng.integers(3))], rows * columns > 1 and rng.random() < 0.7
    lines: list[Line] = []
    for number in range(rows * columns):
        left, top = x0 + inset + number % columns * wide, y0 + number // columns * high
        cell = (left, top, left + wide - space, top + high - space)
        if lettered:
            letter = "abcdefghi"[number] if rng.random() < 0.5 else "ABCDEFGHI"[number]
            lines.append(sheet.set_line(pen, [letter], left, top + pen.top))
            cell = (left + (pen.size if usual == "chart" else 0.0), top + 1.2 * pen.size, cell[2], cell[3])
        kind = PANELS[int(rng.integers(3))] if mixed else usual
        lines += {"photograph": _photograph, "chart": chart, "diagram": _diagram}[kind](sheet, pen, cell)
    sheet.add("figure", lines, (x0 + inset, y0, x1 - inset, y1))
    return y1


def _photograph(sheet: Sheet, pen: Pen, frame: Box) -> list[Line]:
    """Coloured noise, light or dark, with a scale's light label now and then."""
    from PIL import Image, ImageOps

    x0, y0, x1, y1 = (int(value) for value in frame)
    shade = Image.fromarray(cloud(sheet.rng, max(8, y1 - y0), max(8, x1 - x0)))
    if sheet.rng.random() < 0.4:
        shade = ImageOps.autocontrast(shade).point([int(value * value / 600) for value in range(256)])
    sheet.ink.paste(shade, (x0, y0))
    if sheet.rng.random() < 0.25 and y1 - y0 > 5 * pen.size and x1 - x0 > 12 * pen.size:
        return [sheet.set_line(pen, made_up_words(sheet.rng, 1), x0 + pen.size, y1 - pen.size, shade=255)]
    return []


def chart(sheet: Sheet, pen: Pen, frame: Box) -> list[Line]:
    """Axes with ticks and their labels, bars, curves or points, a key; returns the lines of the labels."""
    rng = sheet.rng
    x0, y0, x1, y1 = frame
    left, foot = x0 + 3.2 * pen.size, y1 - 2.6 * pen.size
    if x1 - left < 4 * pen.size or foot - y0 < 3 * pen.size:
        return _photograph(sheet, pen, frame)
    lines = _ticks(sheet, pen, (left, y0, x1, foot))
    title = made_up_words(rng, int(rng.integers(1, 4)), figures=0.0)
    if rng.random() < 0.7 and pen.width(title) < x1 - left:
        lines.append(sheet.set_line(pen, title, (left + x1 - pen.width(title)) / 2, y1 - 0.2 * pen.size))
    if rng.random() < 0.6:
        _upright(sheet, pen, made_up_words(rng, 2, figures=0.0), (x0, y0, left - 2.2 * pen.size, foot))
    _curves(sheet, (left, y0, x1, foot))
    if rng.random() < 0.4:
        for number in range(int(rng.integers(1, 4))):
            words = made_up_words(rng, 1, figures=0.1)
            start, base = x1 - 5 * pen.size, y0 + (number + 1) * 1.3 * pen.size
            if base < foot and pen.width(words) < 5 * pen.size and start > left + 4 * pen.size:
                sheet.draw.line((start - 2 * pen.size, base - 3, start - 0.5 * pen.size, base - 3), fill=0, width=2)
                lines.append(sheet.set_line(pen, words, start, base))
    return lines


def _ticks(sheet: Sheet, pen: Pen, axes: Box) -> list[Line]:
    """Axes or a frame, and the numbers or names along them."""
    rng = sheet.rng
    left, top, right, foot = axes
    if rng.random() < 0.4:
        sheet.draw.rectangle(axes, outline=0, width=1)
    sheet.draw.line([(left, top), (left, foot), (right, foot)], fill=0, width=int(rng.integers(1, 3)))
    lines: list[Line] = []
    step = float(rng.choice([0.1, 0.5, 1, 5, 10, 20, 100]))
    many = int(np.clip((foot - top) / (2.0 * pen.size), 2, 8))
    for number in range(many):
        y = foot - number * (foot - top) / many
        label = [f"{number * step:g}"]
        sheet.draw.line((left - 4, y, left, y), fill=0, width=1)
        lines.append(sheet.set_line(pen, label, left - 8 - pen.width(label), y + 0.35 * pen.size))
    named = rng.random() < 0.4
    many = int(np.clip((right - left) / (5.0 * pen.size), 2, 9))
    for number in range(many):
        x = left + (number + 0.5) * (right - left) / many
        label = made_up_words(rng, 1, figures=0.1) if named else [f"{number * step:g}"]
        sheet.draw.line((x, foot, x, foot + 4), fill=0, width=1)
        if pen.width(label) < 4.6 * pen.size:
            lines.append(sheet.set_line(pen, label, x - pen.width(label) / 2, foot + 5 + pen.top))
    return lines


def _curves(sheet: Sheet, axes: Box) -> None:
    rng, draw = sheet.rng, sheet.draw
    left, top, right, foot = axes
    form, many = int(rng.integers(3)), int(rng.integers(3, 24))
    for shade in rng.integers(0, 190, int(rng.integers(1, 4))).tolist():
        xs = np.linspace(left + 6, right - 6, many + 1)
        ys = foot - (foot - top) * rng.uniform(0.05, 0.95, many + 1)
        if form == 0:
            draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=shade, width=int(rng.integers(1, 4)))
            continue
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            if form == 1:
                draw.rectangle((x, y, x + 0.5 * (right - left) / (many + 1), foot), fill=shade, outline=0)
            else:
                draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=shade)


def _upright(sheet: Sheet, pen: Pen, words: list[str], frame: Box) -> None:
    """Writing that runs upwards, as beside an axis: drawn, but no line, since none is looked for."""
    from PIL import Image, ImageDraw

    x0, y0, _, y1 = frame
    label = Image.new("L", (max(1, int(pen.width(words))), pen.top + pen.foot), 255)
    ImageDraw.Draw(label).text((0, pen.top), " ".join(words), font=pen.font, fill=0, anchor="ls")
    if label.width < y1 - y0:
        sheet.ink.paste(label.rotate(90, expand=True), (int(x0), int((y0 + y1 - label.width) / 2)))


def _diagram(sheet: Sheet, pen: Pen, frame: Box) -> list[Line]:
    """Boxes with a few words each, joined by arrows."""
    rng = sheet.rng
    x0, y0, x1, y1 = frame
    lines: list[Line] = []
    rows, columns = max(1, int((y1 - y0) / (4.5 * pen.size))), max(1, int((x1 - x0) / (11 * pen.size)))
    wide, high = (x1 - x0) / columns, (y1 - y0) / rows
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.3:
                continue
            left, top = x0 + column * wide + 0.1 * wide, y0 + row * high + 0.1 * high
            box = (left, top, left + 0.75 * wide, top + 0.7 * high)
            sheet.draw.rectangle(box, outline=0, width=int(rng.integers(1, 3)), fill=int(rng.choice([255, 225])))
            if row + 1 < rows:
                middle = (box[0] + box[2]) / 2
                sheet.draw.line((middle, box[3], middle, box[3] + 0.3 * high), fill=0, width=2)
            for at, words in enumerate(wrapped(pen, made_up_words(rng, 3, figures=0.05), 0.68 * wide)):
                base = top + 0.15 * high + at * 1.15 * pen.size + pen.top
                if base < box[3]:
                    lines.append(sheet.set_line(pen, words, left + 0.04 * wide, base))
    return lines
