"""Lines cut out of a page, straightened along their quads, and words put back to their place on it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Line, Quad, Word
from vitapps.pipelines.document.deskew import moved
from vitapps.pipelines.document.found_line import FoundLine

Grey = NDArray[np.uint8]
Matrix = NDArray[np.floating]
MARGIN = 0.08  # of a line's height, left around it
TALLEST = 96.0  # pixels: a crop needs no more
Char = tuple[float, float, float]  # x0 x1 of the crop in pixels, chance that it is right


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """`grey` h w, dark on light; `matrix` 3 x 3 leads from its pixels to those of the picture it was cut from."""

    grey: Grey
    matrix: Matrix


def crop_line(grey: Grey, line: FoundLine, to_source: Matrix) -> Crop:
    """Cut a line, found on a page, out of `grey`, where `to_source` leads from the page to `grey`."""
    quad = np.array(moved(_with_margin(line), to_source))
    top, right, foot, left = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1).tolist()
    width, height = max(top, foot, 4.0), max(left, right, 4.0)
    shrink = min(1.0, TALLEST / height)
    if _is_level(quad):
        patch, corner = _sliced(grey, quad)
        matrix = np.array([[1, 0, corner[0]], [0, 1, corner[1]], [0, 0, 1.0]])
    else:
        size = (round(width), round(height))
        target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
        matrix = cv2.getPerspectiveTransform(target, quad.astype(np.float32))
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # pixel corners -> the centres that OpenCV counts
        warp = np.linalg.inv(shift) @ matrix @ shift
        patch = np.asarray(
            cv2.warpPerspective(
                grey, warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
            ),
            np.uint8,
        )
    if shrink < 1:
        size = (max(4, round(patch.shape[1] * shrink)), max(4, round(patch.shape[0] * shrink)))
        matrix = matrix @ np.diag([patch.shape[1] / size[0], patch.shape[0] / size[1], 1.0])
        patch = np.asarray(cv2.resize(patch, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Crop(grey=255 - patch if line.light else patch, matrix=matrix)


def _with_margin(line: FoundLine) -> Quad:
    pad = MARGIN * line.height + 0.5
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = line.quad
    side = 1.6 * pad
    return ((ax - side, ay - pad), (bx + side, by - pad), (cx + side, cy + pad), (dx - side, dy + pad))


def _is_level(quad: NDArray[np.float64]) -> bool:
    """Whether a quad is an upright box to within half a pixel."""
    x = max(abs(quad[0, 0] - quad[3, 0]), abs(quad[1, 0] - quad[2, 0]))
    y = max(abs(quad[0, 1] - quad[1, 1]), abs(quad[3, 1] - quad[2, 1]))
    return bool(x < 0.6 and y < 0.6 and quad[1, 0] > quad[0, 0] and quad[3, 1] > quad[0, 1])


def _sliced(grey: Grey, quad: NDArray[np.float64]) -> tuple[Grey, tuple[int, int]]:
    """The part of `grey` under an upright box, and its corner."""
    height, width = grey.shape
    x0, y0 = (max(0, int(np.floor(value))) for value in quad.min(axis=0))
    x1, y1 = (int(np.ceil(value)) for value in quad.max(axis=0))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    return np.ascontiguousarray(grey[y0 : max(y0 + 1, y1), x0 : max(x0 + 1, x1)]), (x0, y0)


def to_line(crop: Crop, text: str, chars: tuple[Char, ...]) -> Line | None:
    """The words of a reading, each in a quad snapped to its ink, in pixels of the picture the crop was cut from; None
    for a reading without words."""
    ink = ink_of(crop.grey)
    columns = np.asarray(ink.any(axis=0))
    words: list[Word] = []
    spans = word_spans(text, chars, columns)
    for word, (first, last), (x0, x1) in spans:
        rows = np.flatnonzero(ink[:, int(x0) : max(int(x0) + 1, int(np.ceil(x1)))].any(axis=1))
        y0, y1 = (float(rows[0]), float(rows[-1]) + 1) if len(rows) else (0.0, float(ink.shape[0]))
        quad = moved_far(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), crop.matrix)
        chance = float(np.prod([chars[place][2] for place in range(first, last)]))
        words.append(Word(text=word, quad=quad, confidence=min(1.0, max(0.0, chance))))
    if not words:
        return None
    rows = np.flatnonzero(ink.any(axis=1))
    y0, y1 = (float(rows[0]), float(rows[-1]) + 1) if len(rows) else (0.0, float(ink.shape[0]))
    x0, x1 = spans[0][2][0], spans[-1][2][1]
    return Line(words=tuple(words), quad=moved_far(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), crop.matrix))


def moved_far(quad: Quad, matrix: Matrix) -> Quad:
    """Corners through a matrix that may hold a perspective."""
    points = np.column_stack([np.array(quad), np.ones(4)]) @ matrix.T  # 4 3
    a, b, c, d = (points[:, :2] / points[:, 2:]).tolist()
    return ((a[0], a[1]), (b[0], b[1]), (c[0], c[1]), (d[0], d[1]))


def ink_of(grey: Grey) -> NDArray[np.bool_]:
    """Where a crop, dark on light, is darker than half way from its paper to its ink."""
    paper, dark = float(np.median(grey)), float(np.percentile(grey, 2))
    if paper - dark < 12:
        return np.zeros(grey.shape, bool)
    return grey < (paper + dark) / 2


def word_spans(
    text: str, chars: tuple[Char, ...], columns: NDArray[np.bool_]
) -> list[tuple[str, tuple[int, int], tuple[float, float]]]:
    """Each word, its first and last + 1 character, and the x0 x1 of its ink: words are parted in the widest bare
    stretch of `columns` around the blank between them."""
    places = [(match, match + len(word)) for match, word in _words_at(text)]
    if not places:
        return []
    cuts = [0.0]
    for (_, end), (start, _) in pairwise(places):
        cuts.append(_bare(columns, chars[end - 1][0], chars[end - 1][1], chars[start][0], chars[start][1]))
    cuts.append(float(len(columns)))
    found = []
    for number, (first, last) in enumerate(places):
        low, high = int(cuts[number]), int(np.ceil(cuts[number + 1]))
        inked = np.flatnonzero(columns[low:high])
        x0, x1 = (
            (low + float(inked[0]), low + float(inked[-1]) + 1) if len(inked) else (chars[first][0], chars[last - 1][1])
        )
        found.append((text[first:last], (first, last), (x0, max(x1, x0 + 1))))
    return found


def _words_at(text: str) -> list[tuple[int, str]]:
    found, place = [], 0
    for word in text.split(" "):
        if word:
            found.append((place, word))
        place += len(word) + 1
    return found


def _bare(columns: NDArray[np.bool_], a0: float, a1: float, b0: float, b1: float) -> float:
    """The middle of the widest bare stretch between the middles of two characters."""
    low, high = max(0, int((a0 + a1) / 2)), min(len(columns), int(np.ceil((b0 + b1) / 2)))
    part = columns[low:high]
    if not len(part) or part.all():
        return (a1 + b0) / 2
    edges = np.flatnonzero(np.diff(np.concatenate([[1], part.astype(np.int8), [1]])))
    starts, ends = edges[::2], edges[1::2]
    widest = int((ends - starts).argmax())
    return low + float(starts[widest] + ends[widest]) / 2
