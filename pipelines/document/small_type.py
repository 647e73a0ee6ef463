"""Type much smaller than most of a page's, as below the heading of a sign or at the foot of a slide.

Lines are found by the size of body type; where that is large, what is set about half as high goes for accents and
specks, and a row of it leaves nothing but its capitals and tall letters. Such rows are found again by their own size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import shared_area
from vitapps.pipelines.document.components import LOWEST, Components, letter_like, x_height
from vitapps.pipelines.document.find_lines import LEAST_LETTER, lines_by_components
from vitapps.pipelines.document.found_line import FoundLine

SPARSE = 20  # lines: only pages of fewer are looked at; on dense ones what is small is mostly dirt
SIZES = 2  # that are looked for, each smaller than the one before
LETTERS = 4  # of a size at least, that stand in no line
SURE = 0.7  # three letters in a row at least
TALLEST = 2.4  # x-heights: brackets and strokes; what is higher is of another size
SMALLER = 0.8  # x-heights of body type: lines of smaller type may have lost letters
MISSED = 0.2  # of the letters of a line, by which it is known to have
COVERED = 0.5  # of a line's box, by a row of small type that it is a part of


def with_small_type(found: Components, height: float, lines: list[FoundLine]) -> list[FoundLine]:
    """The `lines` of a page whose small letters are `height` pixels high, and rows of much smaller type among them, in
    place of what was found of these; the lines themselves where they are many."""
    for _ in range(SIZES if len(lines) < SPARSE else 0):
        small = letter_like(found) & (found.heights < LEAST_LETTER * height)
        sound = [line for line in lines if line.x_height > SMALLER * height or not _is_remnant(line, found, small)]
        free = found.chosen(~_inside(found, sound))
        letters = free.chosen(letter_like(free) & (free.heights < LEAST_LETTER * height))
        own = x_height(letters) if len(letters.boxes) >= LETTERS else 0.0
        if not LOWEST < own < LEAST_LETTER * height:
            break
        rows = lines_by_components(free.chosen(free.heights < TALLEST * own), own)
        rows = [row for row in rows if row.score >= SURE]
        lines = [line for line in lines if line in sound or not _is_covered(line, rows)] + rows
        height = own
    return lines


def _is_remnant(line: FoundLine, found: Components, small: NDArray[np.bool_]) -> bool:
    """Whether many of a line's letters, by their widths, are too small to have been taken for such."""
    inside = _inside(found, [line]) & letter_like(found)
    return bool(found.widths[inside & small].sum() > MISSED * found.widths[inside].sum())


def _inside(found: Components, lines: Sequence[FoundLine]) -> NDArray[np.bool_]:
    """Which components have their middle in the box of a line."""
    x, y = (found.boxes[:, :2] + found.boxes[:, 2:]).T / 2
    inside = np.zeros(len(x), bool)
    for x0, y0, x1, y1 in (line.box for line in lines):
        inside |= (x > x0) & (x < x1) & (y > y0) & (y < y1)
    return inside


def _is_covered(line: FoundLine, rows: Sequence[FoundLine]) -> bool:
    x0, y0, x1, y1 = line.box
    return any(shared_area(line.box, row.box) > COVERED * (x1 - x0) * (y1 - y0) for row in rows)
