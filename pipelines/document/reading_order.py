"""Reading order of lines: gutters part a page into columns, what spans them stands above or below.

A recursive cut in the manner of the XY-cut (Nagy and Seth 1984) that looks for the tallest gutter first: an upright
strip that no line crosses, with lines on both sides. Lines across its ends are read before and after both sides. Rows
of a table, where one side holds short cells level with the other's rows, are no columns and are read across.

Boxes are `n 4` (x0 y0 x1 y1) on the straightened page, `sizes` n the x-heights of the lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.quantiles import median_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
GUTTER = 0.9  # x-heights: the least width of a gutter
CELL = 9.0  # x-heights: lines shorter than this are cells when they are level with the rows beside them
HEADING = 1.25  # times the x-height of body type
NUMBER, FIGURES = 5.0, 1.7  # x-heights: what is narrower may be the number of a page, whose figures are so high
INITIAL = 2.0  # times the usual height of a line: a letter as high, and higher than wide, begins several rows
MARGIN = 0.12  # of the page's height: where running lines stand


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """Line numbers in reading order: `header`, then the columns and spanning parts one after another, then `footer`."""

    header: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]
    footer: tuple[int, ...]

    @property
    def flat(self) -> tuple[int, ...]:
        """All lines one after another."""
        return (*self.header, *(line for part in self.parts for line in part), *self.footer)


def reading_order(boxes: Floats, sizes: Floats, height: float) -> Order:
    """The order of all lines of a page `height` pixels high."""
    if not len(boxes):
        return Order(header=(), parts=(), footer=())
    cut = _Cut(boxes, sizes)
    header, footer = cut.running_lines(height, top=True), cut.running_lines(height, top=False)
    rest = np.setdiff1d(np.arange(len(boxes)), np.concatenate([header, footer]))
    parts = tuple(tuple(part) for part in cut.split(rest) if len(part))
    return Order(header=tuple(cut.rows(header)), parts=parts, footer=tuple(cut.rows(footer)))


class _Cut:
    """The lines of one page and what the cuts ask of them."""

    def __init__(self, boxes: Floats, sizes: Floats) -> None:
        self.boxes, self.sizes = boxes, sizes
        self.body = float(np.median(np.repeat(sizes, np.maximum(1, (boxes[:, 2] - boxes[:, 0]) // 50).astype(int))))
        self.middle = (boxes[:, 1] + boxes[:, 3]) / 2

    def rows(self, items: Ints) -> list[int]:
        """Items row by row, each from left to right."""
        return [int(item) for row in rows_of(self.boxes, items) for item in row]

    def running_lines(self, height: float, *, top: bool) -> Ints:
        """The row at the top or foot of the page, or else the two rows there, when they stand apart from what is below
        or above them and are not set larger; none on a page of few lines."""
        rows = rows_of(self.boxes, np.arange(len(self.boxes)))
        if len(rows) < 6:
            return np.zeros(0, np.int64)
        rows = rows if top else rows[::-1]
        for number in (1, 2):
            outer = np.concatenate(rows[:number])
            if self._runs(outer, rows[number], height, top=top):
                return outer
        return np.zeros(0, np.int64)

    def _runs(self, outer: Ints, next_row: Ints, height: float, *, top: bool) -> bool:
        """Whether the lines `outer` stand at the edge of the page, apart from the next row, in small type. What is as
        narrow as the number of a page may have no small letters to be measured."""
        low, high = self.boxes[outer, 1].min(), self.boxes[outer, 3].max()
        gap = self.boxes[next_row, 1].min() - high if top else low - self.boxes[next_row, 3].max()
        outside = high < MARGIN * height if top else low > (1 - MARGIN) * height
        narrow = self.boxes[outer, 2] - self.boxes[outer, 0] < NUMBER * self.body
        small = self.sizes[outer] < np.where(narrow, FIGURES, HEADING) * self.body
        return bool(outside and small.all() and gap > 1.2 * self.body)

    def split(self, items: Ints) -> list[list[int]]:
        """Columns and spanning parts of a region, in order."""
        gutter = self.gutter(items) if len(items) > 3 else None
        if gutter is None:
            return [self.rows(items)]
        x, y0, y1 = gutter
        centre = (self.boxes[items, 0] + self.boxes[items, 2]) / 2
        y = self.middle[items]
        above, below = items[y < y0], items[y > y1]
        inside = (y >= y0) & (y <= y1)
        left, right = items[inside & (centre < x)], items[inside & (centre >= x)]
        deck = self.deck(np.concatenate([left, right]), below)
        if len(deck) < len(left) + len(right):  # else nothing would be cut
            left, right = np.setdiff1d(left, deck), np.setdiff1d(right, deck)
            below = np.concatenate([deck, below])
        found: list[list[int]] = []
        for part in (above, left, right, below):
            found += self.split(part) if len(part) else []
        return found

    def deck(self, columns: Ints, below: Ints) -> Ints:
        """Lines in large type at the foot of a column, close above a heading that spans columns: they belong to it."""
        if not len(below):
            return np.zeros(0, np.int64)
        first = below[self.boxes[below, 1].argmin()]
        if self.sizes[first] < HEADING * self.body:
            return np.zeros(0, np.int64)
        x0, y0, x1, y1 = self.boxes[first]
        chosen: list[int] = []
        for item in columns[np.argsort(-self.boxes[columns, 3])]:
            box = self.boxes[item]
            near = y0 - box[3] < 1.0 * (y1 - y0) and box[0] < x1 and box[2] > x0
            if near and self.sizes[item] > 1.15 * self.body:
                chosen.append(int(item))
                y0 = min(y0, float(box[1]))
        return np.array(chosen, np.int64)

    def gutter(self, items: Ints) -> tuple[float, float, float] | None:
        """x, y0, y1 of the tallest gutter of a region."""
        boxes, width = self.boxes[items], GUTTER * self.body
        before, after = ((boxes[:, 0] - 0.55 * width) / (0.25 * width), (boxes[:, 2] + 0.55 * width) / (0.25 * width))
        steps = np.concatenate([np.round(before), np.round(after), np.floor(before), np.ceil(after)])
        tries = np.unique(steps) * 0.25 * width  # the nearest step fits a narrow gutter, the one beyond clears the edge
        tries = tries[(tries > boxes[:, 0].min()) & (tries < boxes[:, 2].max())]
        best, found = 1.6 * self.pitch(items), None
        for x in tries:
            for y0, y1 in self._free(boxes, x - width / 2, x + width / 2):
                tall = self._tall(items, x, y0, y1)
                if tall > best:
                    best, found = tall, (float(x), y0, y1)
        return found

    def pitch(self, items: Ints) -> float:
        """A line's usual height with the gap below it, pixels."""
        return 1.3 * float(np.median(self.boxes[items, 3] - self.boxes[items, 1]))

    @staticmethod
    def _free(boxes: Floats, x0: float, x1: float) -> list[tuple[float, float]]:
        """Upright stretches of a strip that no line crosses."""
        crossing = boxes[(boxes[:, 0] < x1) & (boxes[:, 2] > x0)]
        crossing = crossing[np.argsort(crossing[:, 1])]
        found: list[tuple[float, float]] = []
        start = -np.inf
        for box in crossing:
            if box[1] > start:
                found.append((float(start), float(box[1])))
            start = max(start, box[3])
        return [*found, (float(start), np.inf)]

    def _tall(self, items: Ints, x: float, y0: float, y1: float) -> float:
        """How far both sides of a gutter stand beside each other; 0 where it parts the cells of a table."""
        boxes, y = self.boxes[items], self.middle[items]
        inside = (y > y0) & (y < y1)
        left, right = boxes[inside & (boxes[:, 2] <= x)], boxes[inside & (boxes[:, 0] >= x)]
        if min(len(left), len(right)) < 2 or len(left) + len(right) < 6:
            return 0.0
        if self._cells(left, right) or self._cells(right, left):
            return 0.0
        return float(min(left[:, 3].max(), right[:, 3].max()) - max(left[:, 1].min(), right[:, 1].min()))

    def _cells(self, side: Floats, other: Floats) -> bool:
        """Whether `side` holds short pieces level with rows of `other`."""
        if float((side[:, 2] - side[:, 0]).mean()) > CELL * self.body:
            return False
        y, rows = (side[:, 1] + side[:, 3]) / 2, (other[:, 1] + other[:, 3]) / 2
        within = (y > other[:, 1].min()) & (y < other[:, 3].max())
        if not within.any():
            return False
        level = np.abs(y[within, None] - rows[None, :]).min(axis=1) < 0.35 * self.body
        return bool(level.mean() > 0.6)


def rows_of(boxes: Floats, items: Ints) -> list[Ints]:
    """Items grouped into rows, from the top; within a row from left to right. An initial that is as high as several
    rows stands in the first of them."""
    rows: list[list[int]] = []
    spans: list[tuple[float, float]] = []
    tall = boxes[items, 3] - boxes[items, 1]
    usual = median_of(tall) if len(items) else 0.0
    initial = (tall > INITIAL * usual) & (boxes[items, 2] - boxes[items, 0] < tall)
    middle = boxes[items, 1] + np.where(initial, usual, tall) / 2
    for item in items[np.argsort(middle, kind="stable")]:
        y0, y1 = float(boxes[item, 1]), float(boxes[item, 3])
        if rows:
            low, high = spans[-1]
            over = min(high, y1) - max(low, y0)
            if over > 0.5 * min(high - low, y1 - y0) and not _stacked(boxes, rows[-1], int(item)):
                rows[-1].append(int(item))
                continue
        rows.append([int(item)])
        spans.append((y0, y1))
    return [np.array(sorted(row, key=lambda item: boxes[item, 0]), np.int64) for row in rows]


def _stacked(boxes: Floats, row: list[int], item: int) -> bool:
    """Whether an item lies over or under one of a row, not beside it."""
    x0, x1 = boxes[item, 0], boxes[item, 2]
    shared = np.minimum(boxes[row, 2], x1) - np.maximum(boxes[row, 0], x0)
    least = np.minimum(boxes[row, 2] - boxes[row, 0], x1 - x0)
    return bool((shared > 0.5 * least).any())
