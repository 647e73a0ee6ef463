"""Tables as journals print them: rows of cells between level rules of one width, without upright ones.

Where two or more level rules begin and end alike, what stands between the first and the last is one table, if most of
its rows hold several cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Box
from vitapps.pipelines.document.components import Components
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.reading_order import rows_of

Floats = NDArray[np.float64]
LONG, THIN = 14.0, 0.5  # x-heights: a rule is as long and as thin at least
ALIKE = 1.5  # x-heights: rules of one table begin and end so near to one another
CELLS = 0.5  # of the rows of a table hold several cells
HIGHEST = 0.9  # of the page: rules farther apart frame the page


def table_boxes(found: Components, lines: Sequence[FoundLine], height: float) -> list[Box]:
    """Boxes of the ruled tables of a page whose small letters are `height` pixels high."""
    rules = found.boxes[level_rules(found, height)].astype(np.float64)
    rules = rules[np.argsort(rules[:, 1], kind="stable")]
    places = np.array([line.box for line in lines]).reshape(-1, 4)
    tables: list[Box] = []
    for alike in _families(rules, height):
        tables += _between(rules[alike], places, found.ink.shape[0])
    return tables


def level_rules(found: Components, height: float) -> NDArray[np.bool_]:
    """Which components are level rules; n."""
    return np.asarray((found.widths > LONG * height) & (found.heights < max(3.0, THIN * height)))


def _families(rules: Floats, height: float) -> list[list[int]]:
    """Numbers of rules that begin and end alike, from above, two at least."""
    families: list[list[int]] = []
    for place, rule in enumerate(rules):
        for family in families:
            if np.abs(rules[family[0], [0, 2]] - rule[[0, 2]]).max() < ALIKE * height:
                family.append(place)
                break
        else:
            families.append([place])
    return [family for family in families if len(family) > 1]


def _between(rules: Floats, places: Floats, page: int) -> list[Box]:
    """The tables between rules of one width: neighbours with cells between them, and the head above those."""
    found: list[Box] = []
    start = 0
    while start < len(rules) - 1:
        end = start
        while end + 1 < len(rules) and _is_table(rules[end], rules[end + 1], places):
            end += 1
        if end > start and rules[end, 3] - rules[start, 1] < HIGHEST * page:
            x0, x1 = rules[start : end + 1, 0].min(), rules[start : end + 1, 2].max()
            found.append((float(x0), float(rules[start, 1]), float(x1), float(rules[end, 3])))
        start = max(end, start + 1)
    return found


def _is_table(upper: Floats, lower: Floats, places: Floats) -> bool:
    """Whether most rows between two rules hold several cells."""
    middle = (places[:, 1] + places[:, 3]) / 2
    centre = (places[:, 0] + places[:, 2]) / 2
    inside = (middle > upper[3]) & (middle < lower[1]) & (centre > upper[0]) & (centre < upper[2])
    rows = rows_of(places, np.flatnonzero(inside))
    return bool(rows) and float(np.mean([len(row) > 1 for row in rows])) >= CELLS
