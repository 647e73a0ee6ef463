"""The text of a page as a tree, the same for every reader and writer: page > block > line > word.

Coordinates are pixels of the page image as it was given (upright after EXIF; /Rotate of a PDF applied), x right, y
down, origin at the outer corner of the first pixel, whatever was turned or straightened on the way to reading it.
Blocks, lines and words stand in reading order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

Box = tuple[float, float, float, float]  # x0 y0 x1 y1
Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
BlockKind = Literal["text", "title", "list", "table", "figure", "caption", "header", "footer"]


def box_of(quad: Quad) -> Box:
    """The upright box around a quadrilateral."""
    xs, ys = [x for x, _ in quad], [y for _, y in quad]
    return (min(xs), min(ys), max(xs), max(ys))


def quad_of(box: Box) -> Quad:
    """The corners of an upright box: top left, top right, bottom right, bottom left."""
    x0, y0, x1, y1 = box
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def shared_area(one: Box, other: Box) -> float:
    """Area of what two boxes have in common."""
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def around(boxes: list[Box]) -> Box:
    """The smallest box that holds all `boxes`; a box of no size at the origin for none."""
    if not boxes:
        return (0.0, 0.0, 0.0, 0.0)
    return (
        min(box[0] for box in boxes), min(box[1] for box in boxes),
        max(box[2] for box in boxes), max(box[3] for box in boxes),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """`quad`: corners of the word as read: top left, top right, bottom right, bottom left of its own upright
    position. `confidence` 0 to 1: the calibrated chance that all letters and figures are right."""

    text: str
    quad: Quad
    confidence: float = 1.0

    @property
    def box(self) -> Box:
        """The upright box around the word."""
        return box_of(self.quad)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Words of one line of writing, left to right; `quad` as for a word."""

    words: tuple[Word, ...]
    quad: Quad

    @property
    def text(self) -> str:
        """The words with one space between them."""
        return " ".join(word.text for word in self.words)

    @property
    def box(self) -> Box:
        """The upright box around the line."""
        return box_of(self.quad)

    @property
    def confidence(self) -> float:
        """Mean of the words, by their number of characters; 0 for a line without words."""
        weight = sum(len(word.text) for word in self.words)
        return sum(word.confidence * len(word.text) for word in self.words) / weight if weight else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Lines that belong together: a paragraph, a title, the running header."""

    lines: tuple[Line, ...]
    kind: BlockKind = "text"
    box: Box = (0.0, 0.0, 0.0, 0.0)

    @property
    def text(self) -> str:
        """The lines, each ended by a line feed but the last; in a table the cells of a row parted by tabs."""
        if self.kind != "table" or not self.lines:
            return "\n".join(line.text for line in self.lines)
        parts = [self.lines[0].text]
        for before, line in pairwise(self.lines):
            parts += ["\t" if _beside(before, line) else "\n", line.text]
        return "".join(parts)


def _beside(one: Line, other: Line) -> bool:
    """Whether a line stands behind another in the same row, whichever way the page lies."""
    (ax, ay), (bx, by), _, (dx, dy) = one.quad
    (x, y), (to_x, to_y) = _middle(one.quad), _middle(other.quad)
    along = (to_x - x) * (bx - ax) + (to_y - y) * (by - ay)
    down = (to_x - x) * (dx - ax) + (to_y - y) * (dy - ay)
    return along > 0 and abs(down) < 0.5 * ((dx - ax) ** 2 + (dy - ay) ** 2)


def _middle(quad: Quad) -> tuple[float, float]:
    return sum(x for x, _ in quad) / 4, sum(y for _, y in quad) / 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """`width`, `height` in pixels. `dpi`: x, y, `dpi_guessed` where the file did not say. `rotation`: quarter turns in
    degrees, clockwise, that make the writing upright (0, 90, 180, 270); `skew`: degrees, clockwise, that are left to
    turn after it; both are of the flattened sheet where the picture is a photograph, whose corners `sheet` then gives.
    `source`: `ocr`, or `text layer` where a PDF page already had its text."""

    width: int
    height: int
    blocks: tuple[Block, ...] = ()
    number: int = 1
    dpi: tuple[float, float] = (300.0, 300.0)
    dpi_guessed: bool = True
    rotation: int = 0
    skew: float = 0.0
    sheet: Quad | None = None
    source: str = "ocr"
    warnings: tuple[str, ...] = field(default=())

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line in reading order."""
        return tuple(line for block in self.blocks for line in block.lines)

    @property
    def words(self) -> tuple[Word, ...]:
        """Every word in reading order."""
        return tuple(word for line in self.lines for word in line.words)

    @property
    def text(self) -> str:
        """Blocks with an empty line between them; empty for a blank page."""
        return "\n\n".join(block.text for block in self.blocks if block.lines)
