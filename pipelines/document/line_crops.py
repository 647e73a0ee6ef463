"""Lines cut out of a page, straightened along their quads, and words put back to their place on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Line, Quad, Word
from vitapps.pipelines.document.deskew import moved
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.quantiles import median_of, shades_at

Grey = NDArray[np.uint8]
Matrix = NDArray[np.floating]
MARGIN = 0.08  # of a line's height, left around it
TALLEST = 96.0  # pixels: a crop needs no more
HEAD, FOOT = 0.45, 0.4  # of the small letters' height: what `d` has above, `g` below them
ROOM = 0.06  # of a line's height, around it in its box
_NO_HEADS = frozenset("acegmnopqrsuvwxyz.,:;-_ ")
_FEET = frozenset("gjpqy,;()[]{}|$Q@/")


class PlacedWord(Protocol):
    """A word of a reading: `x0`, `x1` in pixels of the crop; `confidence` 0 to 1 that it is right."""

    @property
    def text(self) -> str: ...

    @property
    def x0(self) -> float: ...

    @property
    def x1(self) -> float: ...

    @property
    def confidence(self) -> float: ...


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


def to_line(crop: Crop, words: Sequence[PlacedWord]) -> Line | None:
    """The words of a reading, each in a quad snapped to its ink, in pixels of the picture the crop was cut from; None
    for a reading without words. The line's quad reaches from the top of `d` to the foot of `g`, whichever letters it
    has, by the middle of what its words say, so that a neighbour's letters in the crop do not move it."""
    if not words:
        return None
    ink = ink_of(crop.grey)
    width = crop.grey.shape[1]
    found: list[Word] = []
    reach: list[tuple[float, float]] = []
    for word in words:
        x0, x1 = max(0.0, min(word.x0, width - 1.0)), max(1.0, min(word.x1, float(width)))
        y0, y1 = inked_rows(ink[:, int(x0) : max(int(x0) + 1, int(np.ceil(x1)))])
        quad = moved(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), crop.matrix)
        found.append(Word(text=word.text, quad=quad, confidence=word.confidence))
        if any(char.isalnum() for char in word.text):
            reach.append(type_height(word.text, y0, y1))
    y0, y1 = map(median_of, np.array(reach).T) if reach else type_height(words[0].text, *inked_rows(ink))
    room = ROOM * (y1 - y0)
    y0, y1 = y0 - room, y1 + room
    x0, x1 = max(0.0, words[0].x0 - room), min(float(width), words[-1].x1 + room)
    return Line(words=tuple(found), quad=moved(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), crop.matrix))


def inked_rows(ink: NDArray[np.bool_]) -> tuple[float, float]:
    """Top and foot of the writing in `ink` h w, the whole height where there is none. What is cut off by the upper or
    lower edge and stands apart from the writing belongs to the lines above and below."""
    rows = ink.sum(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (rows > 0).astype(np.int8), [0]])))
    if not len(edges):
        return 0.0, float(len(ink))
    starts, ends = edges[::2], edges[1::2]
    main = int(np.argmax([rows[start:end].sum() for start, end in zip(starts, ends, strict=True)]))
    top = starts[: main + 1][(starts[: main + 1] > 0) | (np.arange(main + 1) == main)]
    foot = ends[main:][(ends[main:] < len(ink)) | (np.arange(main, len(ends)) == main)]
    return float(top.min()), float(foot.max())


def type_height(text: str, y0: float, y1: float) -> tuple[float, float]:
    """From the top of `d` to the foot of `g`, of a line whose ink reaches from `y0` to `y1`: what its letters leave out
    is added, in shares of the small letters' height."""
    heads, feet = not set(text) <= _NO_HEADS, bool(set(text) & _FEET)
    small = (y1 - y0) / (1 + HEAD * heads + FOOT * feet)
    return y0 - (0.0 if heads else HEAD * small), y1 + (0.0 if feet else FOOT * small)


def ink_of(grey: Grey) -> NDArray[np.bool_]:
    """Where a crop, dark on light, is darker than half way from its paper to its ink."""
    dark, paper = shades_at(grey, (2, 50))
    if paper - dark < 12:
        return np.zeros(grey.shape, bool)
    return grey < (paper + dark) / 2
