"""Where a line of writing stands: its angle, height and baseline, from the box and the letters alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vitapps.datasets.formats.page_text import Line, Quad

DESCENT = 0.22  # of the height from ascender to descender, the mean of text faces
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
    """The measures of `line`; the lower edge of a line without descending letters is its baseline."""
    top_left, top_right, bottom_right, bottom_left = line.quad
    height = (math.dist(top_left, bottom_left) + math.dist(top_right, bottom_right)) / 2
    share = DESCENT if _BELOW.intersection(line.text) else 0.0
    return LineMetrics(
        angle=angle_of(line.quad),
        width=(math.dist(top_left, top_right) + math.dist(bottom_left, bottom_right)) / 2,
        height=height,
        descent=share * height,
        start=_towards(bottom_left, top_left, share),
        end=_towards(bottom_right, top_right, share),
    )


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
