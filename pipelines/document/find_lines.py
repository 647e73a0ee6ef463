"""Lines of writing from connected components: letters in a row become a core, a core gathers its dots and accents.

A core is what marks one line and keeps it apart from the next: here the middle bands of neighbouring letters, run
together over the gaps between words; in `detect_lines.py` the kernels of the network.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.components import Components, letter_like
from vitapps.pipelines.document.found_line import FoundLine, slope_through, sloped_quad
from vitapps.pipelines.document.join_pieces import join_pieces
from vitapps.pipelines.document.quantiles import median_of, percentile_of
from vitapps.pipelines.document.touching import cut_touching

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
REACH = 0.3  # of a letter's height: how far its band reaches over the gap beside it
BAND = (0.3, 0.7)  # of a letter's height: its middle band
LONGEST_SLOPE = 0.1
LEAST_LETTER = 0.55  # x-heights: what is lower is a mark or of much smaller type
HANGING = 1.6  # x-heights of body type: `g` at the beginning of a row of small letters is no initial
INITIAL = 1.5  # times the tallest letter of its row: a large initial


def lines_by_components(found: Components, height: float) -> list[FoundLine]:
    """Every line of a page whose small letters are `height` pixels high, in no order."""
    found = cut_touching(found, height)
    likely = letter_like(found) & (found.heights > LEAST_LETTER * height) & (found.heights < 8 * height)
    letters = found.chosen(likely)
    if not len(letters.boxes):
        return []
    names = core_names(letters, height, found.ink.shape)
    pieces = members_of(names)
    marks = [len(piece) == 1 and letters.heights[piece[0]] < 0.8 * height for piece in pieces]  # commas, quotes
    words = [piece for piece, mark in zip(pieces, marks, strict=True) if not mark]
    rows = join_pieces([gathered(letters, word) for word in words], letters, height)
    lines = [
        gathered(letters, part) for row in rows for part in without_initial(letters, [words[i] for i in row], height)
    ]
    lines += [gathered(letters, piece) for piece, mark in zip(pieces, marks, strict=True) if mark]
    small = found.chosen(~likely & (found.heights < 2 * height) & (found.areas >= 2))
    return absorbed([_with_small(line, small) for line in without_strokes(lines)], height)


def without_initial(letters: Components, row: list[Ints], height: float) -> list[Ints]:
    """The letters of a row on a page of x-height `height`, without a large initial at its beginning, which becomes a
    line of its own."""
    members = np.concatenate(row)
    members = members[np.argsort(letters.boxes[members, 0], kind="stable")]
    tall = letters.heights[members]
    rest = float(tall[1:].max()) if len(tall) > 4 else np.inf
    return [members[:1], members[1:]] if tall[0] > max(INITIAL * rest, HANGING * height) else [members]


def without_strokes(lines: list[FoundLine]) -> list[FoundLine]:
    """Lines but for lone upright strokes, unless one stands level with a line of its own height, as a 1 in a table."""
    boxes = np.array([line.box for line in lines]).reshape(-1, 4)
    tall = boxes[:, 3] - boxes[:, 1]
    stroke = boxes[:, 2] - boxes[:, 0] < 0.45 * tall
    kept = []
    for line, box, height, lone in zip(lines, boxes, tall, stroke, strict=True):
        if lone:
            level = np.abs(boxes[:, 3] - box[3]) + np.abs(boxes[:, 1] - box[1]) < 0.35 * height
            if not (level & ~stroke).any():
                continue
        kept.append(line)
    return kept


def core_names(letters: Components, height: float, shape: tuple[int, ...], reach: float = REACH) -> Ints:
    """The number of the core of each letter; n. Bands reach `reach` letter heights over the gaps beside them."""
    bands = np.zeros(shape, np.uint8)
    tall = np.clip(letters.heights, 0.7 * height, 4 * height)
    x0 = np.maximum(0, letters.boxes[:, 0] - reach * tall).astype(int)
    x1 = np.ceil(letters.boxes[:, 2] + reach * tall).astype(int)
    y0 = (letters.boxes[:, 1] + BAND[0] * letters.heights).astype(int)
    y1 = np.maximum(y0 + 1, (letters.boxes[:, 1] + BAND[1] * letters.heights).astype(int))
    for left, top, right, foot in zip(x0, y0, x1, y1, strict=True):
        bands[top:foot, left:right] = 1
    names = cv2.connectedComponents(bands, connectivity=4, ltype=cv2.CV_32S)[1]
    middle_x = (letters.boxes[:, 0] + letters.boxes[:, 2]) // 2
    return np.asarray(names[(y0 + y1) // 2, middle_x], np.int32)


def members_of(names: Ints) -> list[Ints]:
    """The letters of each core, by the `names` n of their cores."""
    order = np.argsort(names, kind="stable").astype(np.int32)
    return np.split(order, np.flatnonzero(np.diff(names[order])) + 1)


def gathered(letters: Components, members: Ints) -> FoundLine:
    """The line of some letters."""
    boxes = letters.boxes[members].astype(np.float64)
    tall = boxes[:, 3] - boxes[:, 1]
    normal = tall < 2.2 * median_of(tall)
    slope = _slope(boxes[normal])
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    top = boxes[:, 1] - slope * middle
    foot = boxes[:, 3] - slope * middle
    x0, x1 = float(boxes[:, 0].min()), float(boxes[:, 2].max())
    return FoundLine(
        quad=sloped_quad(x0, x1, float(top[normal].min()), float(foot[normal].max()), slope),
        slope=slope,
        x_height=_small_height(tall[normal]),
        score=min(1.0, 0.4 + 0.1 * len(members)),
    )


def _small_height(tall: Floats) -> float:
    """Height of the small letters among the letters of a line."""
    small = tall[tall < 1.25 * percentile_of(tall, 15)]
    return median_of(small if len(small) >= 0.2 * len(tall) else tall)


def _slope(boxes: Floats) -> float:
    """Slope of a row by its letters' middles; 0 for too few letters."""
    if len(boxes) < 6:
        return 0.0
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    if np.ptp(x) < 6 * median_of(boxes[:, 3] - boxes[:, 1]):
        return 0.0
    slope = slope_through(x, y)
    return slope if abs(slope) < LONGEST_SLOPE else 0.0


def _with_small(line: FoundLine, small: Components) -> FoundLine:
    """A line widened by the full stops, hyphens, quotes and dots that lie at its ends or on it."""
    x0, _, x1, _ = line.box
    reach = 1.5 * line.x_height
    middle_x = (small.boxes[:, 0] + small.boxes[:, 2]) / 2
    middle_y = (small.boxes[:, 1] + small.boxes[:, 3]) / 2 - line.slope * middle_x
    top, foot = line.quad[0][1] - line.slope * line.quad[0][0], line.quad[3][1] - line.slope * line.quad[3][0]
    near = (middle_y > top - 0.1 * line.x_height) & (middle_y < foot + 0.1 * line.x_height)
    near &= (small.boxes[:, 0] > x0 - reach) & (small.boxes[:, 2] < x1 + reach)
    near &= small.heights >= 0.12 * line.x_height
    if not near.any():
        return line
    boxes = small.boxes[near]
    return _widened(line, min(x0, float(boxes[:, 0].min())), max(x1, float(boxes[:, 2].max())))


def absorbed(lines: list[FoundLine], height: float) -> list[FoundLine]:
    """Commas, accents and quotes that made a core of their own go to the line that they touch."""
    small: list[FoundLine] = []
    large: list[FoundLine] = []
    for line in lines:
        is_small = line.box[2] - line.box[0] < 1.6 * height and line.height < 1.3 * height
        (small if is_small else large).append(line)
    if not (small and large):
        return lines
    boxes = np.array([line.box for line in large])
    tall, x0, x1 = boxes[:, 3] - boxes[:, 1], boxes[:, 0].copy(), boxes[:, 2].copy()
    alone = []
    for line in sorted(small, key=lambda item: item.box[0]):
        left, top, right, foot = line.box
        reach = 0.5 * tall
        near = (left < x1 + reach) & (right > x0 - reach)
        near &= (np.minimum(foot, boxes[:, 3] + 0.3 * tall) - np.maximum(top, boxes[:, 1] - 0.2 * tall)) > 0.6 * (
            foot - top
        )
        near &= line.height < 0.75 * tall
        if not near.any():
            alone.append(line)
            continue
        home = np.flatnonzero(near)[np.abs(boxes[near, 1] + boxes[near, 3] - top - foot).argmin()]
        x0[home], x1[home] = min(x0[home], left), max(x1[home], right)
    return alone + [_widened(line, float(a), float(b)) for line, a, b in zip(large, x0, x1, strict=True)]


def _widened(line: FoundLine, x0: float, x1: float) -> FoundLine:
    """A line from `x0` to `x1` with its own slope, top and foot."""
    top, foot = line.quad[0][1] - line.slope * line.quad[0][0], line.quad[3][1] - line.slope * line.quad[3][0]
    return replace(line, quad=sloped_quad(x0, x1, top, foot, line.slope))
