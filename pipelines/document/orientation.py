"""Which way is up: rows in which letters stand on one line, and heads or feet by what sticks out of the small letters.

Latin writing has about five times as many heads above its small letters (b d f h k l t, capitals) as feet below its
baseline (g j p q y). Where capitals and figures leave that open, a line reader reads some lines both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Quad
from vitapps.pipelines.document.components import Components, binarise, components_of, letter_like, x_height
from vitapps.pipelines.document.deskew import make_upright, resized, skew_of, turned
from vitapps.pipelines.document.find_lines import core_names, lines_by_components, members_of
from vitapps.pipelines.document.found_line import FoundLine, slope_through
from vitapps.pipelines.document.quantiles import median_of
from vitapps.pipelines.document.steep_skew import steep_skew

Grey = NDArray[np.uint8]
LONGEST = 1700  # pixels of the longer side at which a page is surveyed
SMALL = 5.0  # pixels: type that has become lower is surveyed at full size
ROW_REACH = 0.55  # of a letter's height: words of a row run together
OVERTURNED, CLEAR = 0.4, 9.0  # feet over heads, in type of so many pixels, that say a page is upside down
SURE = 0.25  # of (heads - feet) / (heads + feet)
Confidence = Callable[[Grey, Sequence[FoundLine]], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """A first look. `turn`: degrees clockwise that make the page upright; `skew`: degrees clockwise by which its lines
    then still fall; `x_height` in pixels of the picture given, 0 where no writing was seen; `sure` 0 to 1; `lines` that
    were seen. `sheet`: the corners of a photographed sheet, which had been flattened before."""

    turn: int = 0
    skew: float = 0.0
    x_height: float = 0.0
    sure: float = 0.0
    lines: int = 0
    sheet: Quad | None = None


def survey(grey: Grey, *, turn: int | None = None, confidence: Confidence | None = None) -> Survey:
    """Look at a page. `turn` where it is known; `confidence` of a line reader in some lines of a picture."""
    scale = min(1.0, LONGEST / max(grey.shape))
    small = _reduced(grey, scale)
    found = components_of(binarise(small))
    height = x_height(found)
    if scale < 1 and 0 < height < SMALL:
        scale, small = 1.0, grey
        found = components_of(binarise(small))
        height = x_height(found)
    if height == 0:
        return Survey(turn=turn or 0)
    steep = steep_skew(found, height)
    if steep:
        small = make_upright(small, turn=0, skew=steep).grey
        found = components_of(binarise(small))
    ways = {quarter: _stand(found, quarter) for quarter in ((0, 90) if turn is None else (turn % 180,))}
    quarter = max(ways, key=lambda way: ways[way].level)
    stand = ways[quarter]
    lines = lines_by_components(stand.components, stand.x_height) if stand.x_height else []
    lead = stand.lead
    overturned = lead <= -OVERTURNED and stand.x_height >= CLEAR
    if turn is None and lead < SURE and not overturned:
        lead = _by_reading(small, quarter, confidence, lines) if confidence and lines else 0.0
    found_turn = quarter if lead >= 0 else quarter + 180
    return Survey(
        turn=found_turn if turn is None else turn, skew=steep + skew_of(lines), x_height=stand.x_height / scale,
        sure=1.0 if turn is not None else min(1.0, abs(lead)), lines=len(lines),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """The rows of a page's letters after a turn of 0 or 90 degrees. `heads`, `feet`: letters that stick out above and
    below the small ones; `level`: letters that stand on (or hang from) one line with the others of their row."""

    components: Components
    x_height: float = 0.0
    heads: int = 0
    feet: int = 0
    level: int = 0
    letters: int = 0

    @property
    def lead(self) -> float:
        """(heads - feet) / (heads + feet), -1 to 1; 0 where too few stick out to tell."""
        out = self.heads + self.feet
        return 0.0 if out < max(8, 0.08 * self.letters) else (self.heads - self.feet) / out


def _stand(found: Components, quarter: int) -> Stand:
    if quarter:
        found = _turned_components(found)
    height = x_height(found)
    letters = found.chosen(letter_like(found) & (found.heights > 0.6 * height) & (found.heights < 2.5 * height))
    if not height or len(letters.boxes) < 3:
        return Stand(components=found, x_height=height)
    names = core_names(letters, height, found.ink.shape, ROW_REACH)
    rows = [row for row in members_of(names) if len(row) >= 5]
    counts = [_row_counts(letters.boxes[row].astype(np.float64), height) for row in rows]
    heads, feet, level, total = np.sum(counts, axis=0).tolist() if counts else (0, 0, 0, 0)
    return Stand(components=found, x_height=height, heads=heads, feet=feet, level=level, letters=total)


def _row_counts(boxes: NDArray[np.float64], height: float) -> tuple[int, int, int, int]:
    """Heads, feet, level letters and all letters of one row of boxes n 4."""
    x = (boxes[:, 0] + boxes[:, 2]) / 2
    slope = slope_through(x, (boxes[:, 1] + boxes[:, 3]) / 2) if np.ptp(x) > 8 * height else 0.0
    top, foot = boxes[:, 1] - slope * x, boxes[:, 3] - slope * x
    level = max(int((np.abs(edge - median_of(edge)) < 0.12 * height).sum()) for edge in (top, foot))
    small = boxes[:, 3] - boxes[:, 1] < 1.2 * height
    if small.sum() < 3:
        return 0, 0, level, len(boxes)
    heads = int((top < median_of(top[small]) - 0.22 * height).sum())
    feet = int((foot > median_of(foot[small]) + 0.22 * height).sum())
    return heads, feet, level, len(boxes)


def _reduced(grey: Grey, scale: float) -> Grey:
    import cv2

    if scale == 1:
        return grey
    return resized(grey, (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))), cv2.INTER_AREA)


def _turned_components(found: Components) -> Components:
    """The same components after a clockwise quarter turn of the page."""
    height = found.ink.shape[0]
    x0, y0, x1, y1 = found.boxes.T
    return Components(
        ink=turned(found.ink, 90), boxes=np.column_stack([height - y1, x0, height - y0, x1]).astype(np.int32),
        areas=found.areas,
    )  # fmt: skip


def _by_reading(small: Grey, quarter: int, confidence: Confidence, lines: Sequence[FoundLine]) -> float:
    """Difference of a reader's confidence in the longest lines, read as found and upside down."""
    page = turned(small, quarter)
    height, width = page.shape
    some = sorted(lines, key=lambda line: line.box[0] - line.box[2])[:6]
    over = [
        FoundLine(
            quad=tuple((width - x, height - y) for x, y in (*line.quad[2:], *line.quad[:2])),  # type: ignore[arg-type]
            slope=line.slope, x_height=line.x_height,
        )
        for line in some
    ]  # fmt: skip
    return confidence(page, some) - confidence(turned(page, 180), over)
