"""Lines in order become blocks of a kind: paragraphs, titles, lists, tables, captions, running lines, figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import BlockKind, Box, around
from vitapps.pipelines.document.quantiles import median_of
from vitapps.pipelines.document.reading_order import HEADING, Order, rows_of

Floats = NDArray[np.float64]
APART = 1.45  # times the usual distance of two lines: a gap this large ends a block
INDENT = 0.9  # x-heights
LABEL, SHORT = 1.5, 0.5  # x-heights to a picture, and of its width: such lines are its labels
TITLE = 3  # letters and figures that a title has at least
_ITEM = re.compile(r"^\s*([•◦▪‣·*\-–—]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|[ivxlc]{1,5}[.)])\s")
CAPTION = re.compile(r"^\s*(fig(ure|\.)?|table|tab\.|plate|photo|abbildung|abb\.)\s*[\dIVX:]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Numbers of the lines of one block, in order, and its kind; the `box` of what is more than its lines."""

    lines: tuple[int, ...]
    kind: BlockKind = "text"
    box: Box = (0.0, 0.0, 0.0, 0.0)


def group_lines(order: Order, boxes: Floats, sizes: Floats, texts: Sequence[str] = ()) -> list[Group]:
    """Blocks of a page: its lines' `boxes` n 4, x-heights `sizes` n and, where they have been read, `texts`."""
    found: list[Group] = [_running(order.header, "header", texts)] if order.header else []
    body = float(np.median(sizes)) if len(sizes) else 0.0
    for part in order.parts:
        for block in paragraphs(part, boxes, sizes):
            found.append(Group(lines=tuple(block), kind=kind_of(block, boxes, sizes, body, texts)))
    return [*found, *([_running(order.footer, "footer", texts)] if order.footer else [])]


def _running(lines: tuple[int, ...], kind: BlockKind, texts: Sequence[str]) -> Group:
    """Running lines, unless their words say that they are the caption of a table or a picture."""
    return Group(lines=lines, kind="caption" if texts and CAPTION.match(texts[lines[0]]) else kind)


def with_figures(groups: Sequence[Group], boxes: Floats, figures: Sequence[Box], body: float = 0.0) -> list[Group]:
    """Blocks with pictures among them. A picture takes in the short lines on it and close to it, x-heights `body`, as
    the labels of a chart, at the place of the first; one without stands before the first block below it."""
    found = list(groups)
    for figure in figures:
        labels = [place for place, group in enumerate(found) if _is_label(group, boxes, figure, LABEL * body)]
        lines = tuple(line for place in labels for line in found[place].lines)
        box = around([figure, *((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes[list(lines)].tolist())])
        kept = [group for place, group in enumerate(found) if place not in labels]
        at = labels[0] if labels else before_what_is_below(found, boxes, figure)
        found = [*kept[:at], Group(lines=lines, kind="figure", box=box), *kept[at:]]
    return found


def _is_label(group: Group, boxes: Floats, figure: Box, reach: float) -> bool:
    """Whether a block lies on a picture or within `reach` of it and its lines are short beside it."""
    if not group.lines or group.kind in ("table", "caption", "header", "footer"):
        return False
    lines = boxes[list(group.lines)]
    near = (figure[0] - reach, figure[1] - reach, figure[2] + reach, figure[3] + reach)
    return _lies_in(lines, near) and float((lines[:, 2] - lines[:, 0]).mean()) < SHORT * (figure[2] - figure[0])


def before_what_is_below(groups: Sequence[Group], boxes: Floats, figure: Box) -> int:
    """The place of the first block that stands below a picture in its columns, else the end."""
    for place, group in enumerate(groups):
        if group.lines:
            lines = boxes[list(group.lines)]
            if lines[:, 1].min() > figure[3] - 1 and lines[:, 0].min() < figure[2] and lines[:, 2].max() > figure[0]:
                return place
    return len(groups)


def with_tables(groups: Sequence[Group], boxes: Floats, tables: Sequence[Box]) -> list[Group]:
    """Blocks, those within one of `tables` together as one, read row by row, at the place of the first of them."""
    found = list(groups)
    for table in tables:
        inner = [place for place, group in enumerate(found) if _is_inside(group, boxes, table)]
        if inner:
            items = np.array([line for place in inner for line in found[place].lines])
            rows = tuple(int(line) for row in rows_of(boxes, items) for line in row)
            kept = [group for place, group in enumerate(found) if place not in inner]
            found = [*kept[: inner[0]], Group(lines=rows, kind="table"), *kept[inner[0] :]]
    return found


def _is_inside(group: Group, boxes: Floats, table: Box) -> bool:
    return bool(group.lines) and _lies_in(boxes[list(group.lines)], table)


def _lies_in(boxes: Floats, area: Box) -> bool:
    """Whether most of some lines have their middle in a box."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = (x > area[0]) & (x < area[2]) & (y > area[1]) & (y < area[3])
    return bool(inside.mean() > 0.5)


def paragraphs(part: Sequence[int], boxes: Floats, sizes: Floats) -> list[list[int]]:
    """A column's lines parted where the gap, the size of type or the indent changes."""
    rows = _rows_in_order(part, boxes)
    if not rows:
        return []
    pitch = _pitch(rows, boxes)
    left = median_of(np.array([boxes[row, 0].min() for row in rows]))
    found = [list(rows[0])]
    for before, row in pairwise(rows):
        size, last = median_of(sizes[row]), median_of(sizes[before])
        foot, top = boxes[row, 3].max(), boxes[before, 3].max()
        far = foot - top > APART * max(pitch, 1.35 * min(size, last)) and boxes[row, 1].min() > boxes[before, 3].max()
        other = max(size, last) > HEADING * min(size, last)
        inset = boxes[row, 0].min() - left
        starts = INDENT * size < inset < 6 * size and boxes[before, 0].min() - left < 0.5 * INDENT * size
        starts = starts and boxes[before, 2].max() < boxes[row, 2].max() + 40 * size and len(row) == 1
        if far or other or starts or foot < top - 0.5 * pitch:
            found.append([])
        found[-1] += row
    return [block for block in found if block]


def _rows_in_order(part: Sequence[int], boxes: Floats) -> list[list[int]]:
    """Lines that follow one another in the same row, together."""
    rows: list[list[int]] = []
    for item in part:
        if rows and len(rows_of(boxes, np.array([rows[-1][-1], item]))) == 1:
            rows[-1].append(item)
        else:
            rows.append([item])
    return rows


def _pitch(rows: list[list[int]], boxes: Floats) -> float:
    """Usual distance of the feet of two lines."""
    feet = np.array([boxes[row, 3].max() for row in rows])
    steps = np.diff(feet)
    steps = steps[steps > 0]
    return float(np.percentile(steps, 35)) if len(steps) else float(boxes[rows[0], 3].max() - boxes[rows[0], 1].min())


def kind_of(block: Sequence[int], boxes: Floats, sizes: Floats, body: float, texts: Sequence[str]) -> BlockKind:
    """By the rows' cells, the words they begin with, and the size of type."""
    rows = _rows_in_order(block, boxes)
    if len(rows) >= 3 and np.mean([len(row) > 1 for row in rows]) > 0.6:
        return "table"
    first = texts[block[0]] if texts else ""
    if CAPTION.match(first):
        return "caption"
    starts = [bool(_ITEM.match(texts[row[0]])) for row in rows] if texts else []
    if sum(starts) >= 2 and starts[0]:
        return "list"
    large = median_of(sizes[list(block)]) > HEADING * body
    said = "".join(texts[place] for place in block) if texts else ""
    if said and sum(char.isalnum() for char in said) < TITLE:
        large = False  # a figure or a capital of a formula has no small letters to be measured
    return "title" if large and len(rows) <= 4 else "text"
