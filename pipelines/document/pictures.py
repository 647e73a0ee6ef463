"""Where a page holds pictures, borders and dark panels: ink that belongs to no letter, dense over several x-heights."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Box, shared_area
from vitapps.pipelines.document.components import Components, binarise, components_of, letter_like, x_height
from vitapps.pipelines.document.find_lines import lines_by_components
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.polarity import lean

Floats = NDArray[np.float32]
Grey = NDArray[np.uint8]
AROUND = 5.0  # x-heights over which density is taken
DENSE = 0.18  # share of ink in a picture
DRAWN = 0.03  # share of the ink of large strokes in a drawing or a chart
SURE = 0.8  # four letters in a row at least: shades of figures give three
DARK = 100  # grey value: the surroundings of light letters are darker
PANEL = 45  # grey values: or the ground about them is darker than the page's paper by so much
LIGHTER = 0.1  # of -1 to 1: how far letters are then lighter than their ground and not darker
LEAST = 7.0  # x-heights: no picture is narrower or lower
MARGIN_SHARE = 0.4  # of a side of the page: a dark strip that runs along more of it is the scanner's border


def picture_density(found: Components, height: float) -> Floats:
    """Share of ink that belongs to no letter in the surroundings of each pixel; H W in 0..1."""
    letters = letter_like(found) & (found.heights > 0.5 * height) & (found.heights < 4 * height)
    return _density(found, letters, height)


def _density(found: Components, without: NDArray[np.bool_], height: float) -> Floats:
    """Share of ink about each pixel, some components left out."""
    rest = found.ink.copy()
    for x0, y0, x1, y1 in found.boxes[without]:
        rest[y0:y1, x0:x1] = 0
    side = max(3, int(AROUND * height))
    return np.asarray(cv2.blur(rest.astype(np.float32), (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)


def drawn_density(found: Components, height: float, rules: NDArray[np.bool_]) -> Floats:
    """Share of ink of strokes larger than letters, level `rules` n left out, about each pixel; H W in 0..1."""
    letters = letter_like(found) & (found.heights > 0.5 * height) & (found.heights < 4 * height)
    specks = (found.heights < height) & (found.widths < height)
    return _density(found, letters | specks | rules, height)


def mark_pictures(lines: list[FoundLine], density: Floats) -> list[FoundLine]:
    """Lines, those that lie on pictures marked."""
    return [replace(line, in_picture=_mean(density, line.box) > DENSE) for line in lines]


def _mean(density: Floats, box: Box) -> float:
    x0, y0, x1, y1 = (max(0, int(value)) for value in box)
    part = density[y0 : y1 + 1, x0 : x1 + 1]
    return float(part.mean()) if part.size else 0.0


def light_lines(grey: Grey, height: float) -> list[FoundLine]:
    """Lines of light letters on the dark and coloured panels of a page."""
    side = max(3, int(AROUND * height))
    dark = cv2.blur(grey, (side, side), borderType=cv2.BORDER_REPLICATE) < DARK
    dark |= _ground(grey, side) < float(np.median(grey[::7, ::7])) - PANEL
    if dark.mean() < 0.002:
        return []
    inside = components_of(binarise(255 - grey) & dark.astype(np.uint8))
    own = x_height(inside)
    if not 0.4 * height < own < 6 * height:
        return []
    lines = lines_by_components(inside, own)
    lines = [line for line in lines if line.score >= SURE and lean(_cut(grey, line.box, own)) > LIGHTER]
    return [replace(line, light=True, in_picture=True) for line in lines]


def _ground(grey: Grey, side: int) -> Grey:
    """The shade on which writing stands: the median over `side` pixels about each, which are less than half ink."""
    step = max(1, side // 15)
    rough = cv2.medianBlur(np.ascontiguousarray(grey[::step, ::step]), side // step | 1)
    return np.asarray(cv2.resize(rough, grey.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def _cut(grey: Grey, box: Box, room: float) -> Grey:
    """The part of a page in a box and `room` pixels about it."""
    x0, y0, x1, y1 = (round(value) for value in (box[0] - room, box[1] - room, box[2] + room, box[3] + room))
    return grey[max(0, y0) : y1, max(0, x0) : x1]


def without_shadows(lines: list[FoundLine], light: list[FoundLine]) -> list[FoundLine]:
    """Lines but for the dark counters and edges of `light` letters, which are no writing."""
    return [line for line in lines if all(shared_area(line.box, other.box) <= 0.2 * _area(line.box) for other in light)]


def figure_boxes(density: Floats, height: float, lines: list[FoundLine]) -> list[Box]:
    """Boxes of pictures and drawings on a page by its `drawn_density`, borders of the scan left out, and panels that
    hold the given `lines` of writing."""
    mask = (density > DRAWN).astype(np.uint8)
    high, wide = mask.shape
    found: list[Box] = []
    for x0, y0, x1, y1 in components_of(mask).boxes.tolist():
        if min(x1 - x0, y1 - y0) < LEAST * height:
            continue
        edges = (x0 <= 1) + (x1 >= wide - 1), (y0 <= 1) + (y1 >= high - 1)
        border = (edges[0] and y1 - y0 > MARGIN_SHARE * high) or (edges[1] and x1 - x0 > MARGIN_SHARE * wide)
        written = sum(shared_area((x0, y0, x1, y1), line.box) for line in lines)
        if not border and written < 0.3 * (x1 - x0) * (y1 - y0):
            found.append((float(x0), float(y0), float(x1), float(y1)))
    return found


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
