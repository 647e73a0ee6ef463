"""Lines in order become blocks of a kind: paragraphs, titles, lists, tables, captions, running lines, figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import BlockKind, Box
from vitapps.pipelines.document.reading_order import HEADING, Order, rows_of

Floats = NDArray[np.float64]
APART = 1.45  # times the usual distance of two lines: a gap this large ends a block
INDENT = 0.9  # x-heights
_ITEM = re.compile(r"^\s*([•◦▪‣·*\-–—]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|[ivxlc]{1,5}[.)])\s")
_CAPTION = re.compile(r"^\s*(fig(ure|\.)?|table|tab\.|plate|photo|abbildung|abb\.)\s*[\dIVX:]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Numbers of the lines of one block, in order, and its kind; its `box` where it has no lines."""

    lines: tuple[int, ...]
    kind: BlockKind = "text"
    box: Box = (0.0, 0.0, 0.0, 0.0)


def group_lines(order: Order, boxes: Floats, sizes: Floats, texts: Sequence[str] = ()) -> list[Group]:
    """Blocks of a page: its lines' `boxes` n 4, x-heights `sizes` n and, where they have been read, `texts`."""
    found: list[Group] = [Group(lines=order.header, kind="header")] if order.header else []
    body = float(np.median(sizes)) if len(sizes) else 0.0
    for part in order.parts:
        for block in paragraphs(part, boxes, sizes):
            found.append(Group(lines=tuple(block), kind=kind_of(block, boxes, sizes, body, texts)))
    return [*found, *([Group(lines=order.footer, kind="footer")] if order.footer else [])]


def with_figures(groups: Sequence[Group], boxes: Floats, figures: Sequence[Box]) -> list[Group]:
    """Blocks with pictures among them, each before the first block that stands below it in its columns."""
    found = list(groups)
    for figure in figures:
        below = [
            place
            for place, group in enumerate(found)
            if group.lines
            and boxes[list(group.lines), 1].min() > figure[3] - 1
            and boxes[list(group.lines), 0].min() < figure[2]
            and boxes[list(group.lines), 2].max() > figure[0]
        ]
        found.insert(below[0] if below else len(found), Group(lines=(), kind="figure", box=figure))
    return found


def paragraphs(part: Sequence[int], boxes: Floats, sizes: Floats) -> list[list[int]]:
    """A column's lines parted where the gap, the size of type or the indent changes."""
    rows = _rows_in_order(part, boxes)
    if not rows:
        return []
    pitch = _pitch(rows, boxes)
    left = float(np.median([boxes[row, 0].min() for row in rows]))
    found = [list(rows[0])]
    for before, row in pairwise(rows):
        size, last = float(np.median(sizes[row])), float(np.median(sizes[before]))
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
    if _CAPTION.match(first):
        return "caption"
    starts = [bool(_ITEM.match(texts[row[0]])) for row in rows] if texts else []
    if sum(starts) >= 2 and starts[0]:
        return "list"
    large = float(np.median(sizes[list(block)])) > HEADING * body
    return "title" if large and len(rows) <= 4 else "text"
