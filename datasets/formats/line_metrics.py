"""Where a line of writing stands: its angle, height and baseline, from the box and the letters alone."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from vitapps.datasets.formats.page_text import Line, Quad, Word

DESCENT = 0.22  # of the height from ascender to descender, the mean of text faces
_SNUG, _DEEPEST = 0.05, 0.35  # of it: words this near the lower edge reach it; no letter hangs lower
_BELOW = frozenset("gjpqyçşţķļņģµ,;()[]{}|/§Qþ„‚¶@$_")  # letters that reach below the baseline


@dataclass(frozen=True, kw_only=True, slots=True)
class LineMetrics:
    """`angle`: degrees clockwise from left-to-right to the direction of reading, -180 to 180. `width` along it and
    `height` across it, pixels. `descent`: pixels from the baseline down to the lower edge. `start`, `end` of the
    baseline, x y."""

    angle: float
    width: float
    height: float
    descent: float
    start: tuple[float, float]
    end: tuple[float, float]


def metrics(line: Line) -> LineMetrics:
    """The measures of `line`. Words whose letters do not reach below the baseline stand on it; where every word has
    such letters, or all words end where the line does, the usual share is taken."""
    top_left, top_right, bottom_right, bottom_left = line.quad
    height = (math.dist(top_left, bottom_left) + math.dist(top_right, bottom_right)) / 2
    share = _descent(line, height)
    return LineMetrics(
        angle=angle_of(line.quad),
        width=(math.dist(top_left, top_right) + math.dist(bottom_left, bottom_right)) / 2,
        height=height,
        descent=share * height,
        start=_towards(bottom_left, top_left, share),
        end=_towards(bottom_right, top_right, share),
    )


def _descent(line: Line, height: float) -> float:
    """Share of the height that lies below the baseline."""
    hanging = bool(_BELOW.intersection(line.text))
    above = [_gap_below(word, line.quad) for word in line.words if not _BELOW.intersection(word.text)]
    share = statistics.median(above) / max(height, 1e-9) if above else DESCENT
    if hanging and share < _SNUG:
        return DESCENT
    return min(max(share, 0.0), _DEEPEST)


def _gap_below(word: Word, quad: Quad) -> float:
    """Pixels from the middle of the word's foot to the lower edge of its line, across the line."""
    (ax, ay), (bx, by) = quad[3], quad[2]
    x, y = (word.quad[3][0] + word.quad[2][0]) / 2, (word.quad[3][1] + word.quad[2][1]) / 2
    length = math.hypot(bx - ax, by - ay)
    return ((y - ay) * (ax - bx) + (x - ax) * (by - ay)) / length if length else 0.0


def angle_of(quad: Quad) -> float:
    """Degrees clockwise (y points down) from left-to-right to the direction in which the upper edge runs."""
    (x0, y0), (x1, y1) = quad[0], quad[1]
    return math.degrees(math.atan2(y1 - y0, x1 - x0)) if (x0, y0) != (x1, y1) else 0.0


def is_upright(quad: Quad) -> bool:
    """Whether the corners are those of an upright box that is read left to right."""
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = quad
    return ax == dx and bx == cx and ay == by and cy == dy and ax <= bx and ay <= dy


def _towards(point: tuple[float, float], other: tuple[float, float], share: float) -> tuple[float, float]:
    return (point[0] + (other[0] - point[0]) * share, point[1] + (other[1] - point[1]) * share)
