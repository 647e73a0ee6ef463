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
from vitapps.pipelines.document.found_line import FoundLine, sloped_quad

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
REACH = 0.55  # of a letter's height: how far its band reaches over the gap beside it
BAND = (0.3, 0.7)  # of a letter's height: its middle band
LONGEST_SLOPE = 0.1
WIDE_GAP = 2.2  # x-heights: a gap this wide ends a line


def lines_by_components(found: Components, height: float) -> list[FoundLine]:
    """Every line of a page whose small letters are `height` pixels high, in no order."""
    likely = letter_like(found) & (found.heights > 0.55 * height) & (found.heights < 8 * height)
    letters = found.chosen(likely)
    if not len(letters.boxes):
        return []
    names = core_names(letters, height, found.ink.shape)
    lines = [gathered(letters, np.flatnonzero(names == name).astype(np.int32), height) for name in np.unique(names)]
    kept = [line for line in lines if line is not None]
    small = found.chosen(~likely & (found.heights < 2 * height) & (found.areas >= 2))
    return absorbed(join_rows([_with_small(line, small) for line in kept], height), height)


def core_names(letters: Components, height: float, shape: tuple[int, ...]) -> Ints:
    """The number of the core of each letter; n."""
    bands = np.zeros(shape, np.uint8)
    tall = np.clip(letters.heights, 0.7 * height, 4 * height)
    x0 = np.maximum(0, letters.boxes[:, 0] - REACH * tall).astype(int)
    x1 = np.ceil(letters.boxes[:, 2] + REACH * tall).astype(int)
    y0 = (letters.boxes[:, 1] + BAND[0] * letters.heights).astype(int)
    y1 = np.maximum(y0 + 1, (letters.boxes[:, 1] + BAND[1] * letters.heights).astype(int))
    for left, top, right, foot in zip(x0, y0, x1, y1, strict=True):
        bands[top:foot, left:right] = 1
    names = cv2.connectedComponents(bands, connectivity=4, ltype=cv2.CV_32S)[1]
    middle_x = (letters.boxes[:, 0] + letters.boxes[:, 2]) // 2
    return np.asarray(names[(y0 + y1) // 2, middle_x], np.int32)


def gathered(letters: Components, members: Ints, height: float) -> FoundLine | None:
    """The line of some letters; None where they look like no writing."""
    boxes = letters.boxes[members].astype(np.float64)
    tall = boxes[:, 3] - boxes[:, 1]
    usual = float(np.median(tall))
    normal = tall < 2.2 * usual
    slope = _slope(boxes[normal])
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    top = boxes[:, 1] - slope * middle
    foot = boxes[:, 3] - slope * middle
    x0, x1 = float(boxes[:, 0].min()), float(boxes[:, 2].max())
    if x1 - x0 < 0.4 * usual and len(members) < 2 and usual < 1.2 * height:
        return None
    return FoundLine(
        quad=sloped_quad(x0, x1, float(top[normal].min()), float(foot[normal].max()), slope),
        slope=slope,
        x_height=_small_height(tall[normal]),
        score=min(1.0, 0.4 + 0.1 * len(members)),
    )


def _small_height(tall: Floats) -> float:
    """Height of the small letters among the letters of a line."""
    low = float(np.percentile(tall, 15))
    small = tall[tall < 1.25 * low]
    return float(np.median(small)) if len(small) >= 0.2 * len(tall) else float(np.median(tall))


def _slope(boxes: Floats) -> float:
    """Slope of a row by its letters' middles; 0 for too few letters."""
    if len(boxes) < 6:
        return 0.0
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    spread = float(np.ptp(x))
    if spread < 6 * float(np.median(boxes[:, 3] - boxes[:, 1])):
        return 0.0
    slope = float(np.polyfit(x, y, 1)[0])
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
    small = [line for line in lines if line.box[2] - line.box[0] < 1.6 * height and line.height < 1.3 * height]
    large = [line for line in lines if line not in small]
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


def join_rows(lines: list[FoundLine], height: float) -> list[FoundLine]:
    """Pieces of a row that a gap of less than `WIDE_GAP` x-heights parts become one line, but not across a gutter."""
    lines = sorted(lines, key=lambda line: line.box[0])
    gaps = _gaps(lines)
    gutters = _stacked(lines, gaps)
    joined = {place: [place] for place in range(len(lines))}
    head = list(range(len(lines)))
    for (left, right), (x0, x1) in sorted(gaps.items(), key=lambda item: item[1][1] - item[1][0]):
        size = max(lines[left].x_height, lines[right].x_height)
        if x1 - x0 > WIDE_GAP * size or (left, right) in gutters:
            continue
        a, b = head[left], head[right]
        if a != b:
            joined[a] += joined.pop(b)
            for place in joined[a]:
                head[place] = a
    return [_merged([lines[place] for place in places]) for places in joined.values()]


def _gaps(lines: list[FoundLine]) -> dict[tuple[int, int], tuple[float, float]]:
    """For each line its next neighbour to the right in the same row, and the gap x0 x1 between them."""
    boxes = np.array([line.box for line in lines]).reshape(-1, 4)
    found: dict[tuple[int, int], tuple[float, float]] = {}
    for place, box in enumerate(boxes):
        over = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
        low = np.minimum(boxes[:, 3] - boxes[:, 1], box[3] - box[1])
        tall = np.maximum(boxes[:, 3] - boxes[:, 1], box[3] - box[1])
        same = (over > 0.55 * low) & (low > 0.4 * tall) & (boxes[:, 0] > box[0]) & (boxes[:, 2] > box[2])
        if same.any():
            right = int(np.flatnonzero(same)[boxes[same, 0].argmin()])
            found[place, right] = (float(box[2]), float(boxes[right, 0]))
    return found


def _stacked(
    lines: list[FoundLine], gaps: dict[tuple[int, int], tuple[float, float]]
) -> set[tuple[int, int]]:  # fmt: skip
    """Gaps that stand over one another in four rows or more: a gutter between columns."""
    pairs = list(gaps)
    spans = np.array([gaps[pair] for pair in pairs]).reshape(-1, 2)
    rows = np.array([(lines[a].box[1] + lines[a].box[3]) / 2 for a, _ in pairs])
    tall = np.array([lines[a].height for a, _ in pairs])
    found = set()
    for place, pair in enumerate(pairs):
        shared = np.minimum(spans[:, 1], spans[place, 1]) - np.maximum(spans[:, 0], spans[place, 0])
        near = (np.abs(rows - rows[place]) < 5 * tall[place]) & (shared > 0.5 * lines[pair[0]].x_height)
        if near.sum() >= 5 and spans[place, 1] - spans[place, 0] > 0.9 * lines[pair[0]].x_height:
            found.add(pair)
    return found


def _merged(parts: list[FoundLine]) -> FoundLine:
    """One line of several pieces of a row."""
    if len(parts) == 1:
        return parts[0]
    longest = max(parts, key=lambda line: line.box[2] - line.box[0])
    slope = longest.slope
    x0, x1 = min(line.box[0] for line in parts), max(line.box[2] for line in parts)
    top = min(line.quad[0][1] - slope * line.quad[0][0] for line in parts)
    foot = max(line.quad[3][1] - slope * line.quad[3][0] for line in parts)
    return FoundLine(
        quad=sloped_quad(x0, x1, top, foot, slope), slope=slope, x_height=longest.x_height,
        score=max(line.score for line in parts), light=longest.light,
    )  # fmt: skip
