"""The elements of a page as the layout head takes them: lines, and what the rules hold for pictures and ruled tables.

An element is a row of numbers: its box in x-heights of body type (4), facts of its place and shape (`FACTS`), and the
mean of the text detector's features over it. The detector looks at the page reduced, so that body type is `SEEN` pixels
high: few windows, and each of them sees more of the page than it needs to find lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Box
from vitapps.errors import MissingError
from vitapps.pipelines.document.detect_lines import BATCH, X_HEIGHT, LineDetector
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.windows.stitch import tile_apply

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Grey = NDArray[np.uint8]
FACTS = 14
SEEN = 10.0  # pixels from the top of `d` to the foot of `g` of body type, as the detector looks at it
CELL = 8  # pixels a cell of the features
GRID = (3, 8)  # points down and across at which the features of an element are taken
INSET = 2.0  # x-heights by which the box of a picture reaches beyond it: half of what `pictures.py` blurs over


@dataclass(frozen=True, kw_only=True, slots=True)
class Elements:
    """`boxes` n 4 in pixels of the upright page, lines first (`lines` of them), then pictures, then ruled tables;
    `rows` n 4+G+T, the input of the network; `body`: x-height of body type in pixels."""

    boxes: Floats
    rows: Features
    lines: int
    pictures: int
    body: float


def elements_of(
    grey: Grey, lines: Sequence[FoundLine], pictures: Sequence[Box], tables: Sequence[Box], detector: LineDetector
) -> Elements:
    """The elements of an upright page; none without lines, which give the scale."""
    if not lines:
        return Elements(boxes=np.zeros((0, 4)), rows=np.zeros((0, 0), np.float32), lines=0, pictures=0, body=0.0)
    body = max(1.0, float(np.median([line.x_height for line in lines])))
    inner = [_inset(box, INSET * body) for box in pictures]
    boxes = np.array([*(line.box for line in lines), *inner, *tables], np.float64).reshape(-1, 4)
    scale = min(2.5, SEEN * X_HEIGHT / body)
    seen = pooled(feature_map(grey, scale, detector), boxes * scale)
    facts = _facts(grey, boxes, lines, len(inner), body)
    rows = np.concatenate([boxes / body, facts, seen], axis=1).astype(np.float32)
    return Elements(boxes=boxes, rows=rows, lines=len(lines), pictures=len(inner), body=body)


def _inset(box: Box, by: float) -> Box:
    """A box drawn in by at most a sixth of its sides."""
    x0, y0, x1, y1 = box
    across, down = min(by, (x1 - x0) / 6), min(by, (y1 - y0) / 6)
    return (x0 + across, y0 + down, x1 - across, y1 - down)


def _facts(grey: Grey, boxes: Floats, lines: Sequence[FoundLine], pictures: int, body: float) -> Floats:
    """n FACTS: place on the page, size beside body type, darkness, and what an element was found as."""
    high, wide = grey.shape
    regions = len(boxes) - len(lines)
    sizes = np.array([*(line.x_height for line in lines), *[body] * regions])
    light = np.array([*(line.light for line in lines), *[False] * regions])
    drawn = np.array([*(line.in_picture for line in lines), *[False] * regions])
    place = np.arange(len(boxes))
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.column_stack([
        boxes / (wide, high, wide, high), np.log(np.maximum(sides, 1.0) / body), np.log(np.maximum(sizes, 1.0) / body),
        _darkness(grey, boxes), light, drawn, place < len(lines),
        (place >= len(lines)) & (place < len(lines) + pictures), place >= len(lines) + pictures,
        np.full(len(boxes), np.log(len(boxes)) / 5),
    ])  # fmt: skip


def _darkness(grey: Grey, boxes: Floats) -> Floats:
    """Mean ink of each box, 0 paper, 1 ink; n."""
    ink, paper = (float(value) for value in np.percentile(grey[::3, ::3], (1, 90)))
    sums = cv2.integral(255 - grey, sdepth=cv2.CV_64F)
    corners = np.column_stack([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])]).astype(int)
    x0, y0, x1, y1 = np.clip(corners, 0, np.array([grey.shape[1], grey.shape[0]] * 2)).T
    total = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    mean = 255 - total / np.maximum(1, (x1 - x0) * (y1 - y0))
    return np.asarray(((paper - mean) / max(paper - ink, 1.0)).clip(0, 1), np.float64)


def feature_map(grey: Grey, scale: float, detector: LineDetector) -> Features:
    """The detector's features of a page at `scale`, C H/8 W/8; MissingError where its card gives none."""
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    shown = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    down, right = (-side % CELL for side in shown.shape)
    padded = np.pad(np.asarray(shown, np.uint8), ((0, down), (0, right)), mode="edge")
    high, wide = padded.shape[0] // CELL, padded.shape[1] // CELL
    cells = padded.reshape(high, CELL, wide, CELL).transpose(1, 3, 0, 2).reshape(CELL * CELL, high, wide)

    def answer(stack: Features) -> Features:
        number, _, rows, columns = stack.shape
        image = stack.reshape(number, CELL, CELL, rows, columns).transpose(0, 3, 1, 4, 2)  # B 64 r c -> B r 8 c 8
        outputs = detector.network(np.ascontiguousarray(image).reshape(number, 1, rows * CELL, columns * CELL))
        if len(outputs) < 4:
            raise MissingError(f"{detector.facts.name}: gives no features", hint="train it again: doc train detector")
        return outputs[3]

    side = detector.window // CELL
    return tile_apply(
        cells.astype(np.float32) / np.float32(255), answer, window=(side, side), overlap=detector.overlap, batch=BATCH
    )


def pooled(features: Features, boxes: Floats) -> Features:
    """The mean of a map C h w over boxes n 4, in pixels of 8 to a cell; n C."""
    down, across = ((np.arange(number) + 0.5) / number for number in GRID)
    x = boxes[:, None, 0] + across[None] * (boxes[:, 2] - boxes[:, 0])[:, None]  # n 8
    y = boxes[:, None, 1] + down[None] * (boxes[:, 3] - boxes[:, 1])[:, None]  # n 3
    column = np.clip(x / CELL, 0, features.shape[2] - 1).astype(int)
    row = np.clip(y / CELL, 0, features.shape[1] - 1).astype(int)
    taken = features[:, row[:, :, None], column[:, None, :]]  # C n 3 8
    return np.asarray(taken.mean(axis=(2, 3)).T, np.float32)
