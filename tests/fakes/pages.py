"""Page trees made by hand, and pictures of pages drawn with Pillow's own font."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vitapps.datasets.formats.page_text import Block, BlockKind, Line, Page, Quad, Word, around, quad_of


def line_at(text: str, x: float, y: float, *, letter: float = 10.0, height: float = 20.0) -> Line:
    """Words of letters of one width, one letter's space between them."""
    words, at = [], x
    for part in text.split():
        box = (at, y, at + letter * len(part), y + height)
        words.append(Word(text=part, quad=quad_of(box), confidence=0.9))
        at = box[2] + letter
    return Line(words=tuple(words), quad=quad_of(around([word.box for word in words])))


def block_at(
    texts: Sequence[str], x: float, y: float, *, kind: BlockKind = "text", pitch: float = 28.0, height: float = 20.0
) -> Block:
    lines = tuple(line_at(text, x, y + pitch * number, height=height) for number, text in enumerate(texts))
    return Block(lines=lines, kind=kind, box=around([line.box for line in lines]))


def turned(line: Line, degrees: float, centre: tuple[float, float]) -> Line:
    """The line turned clockwise about `centre`."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def turn(quad: Quad) -> Quad:
        moved = [(x - centre[0], y - centre[1]) for x, y in quad]
        a, b, c, d = ((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in moved)
        return (a, b, c, d)

    words = tuple(Word(text=word.text, quad=turn(word.quad), confidence=word.confidence) for word in line.words)
    return Line(words=words, quad=turn(line.quad))


def sample_page(number: int = 1) -> Page:
    """A title, a column with a divided word and what XML must escape, a turned line, a table and a picture."""
    aside = turned(line_at("turned aside", 600, 300), 90, (650, 310))
    blocks = (
        block_at(["A Title"], 100, 40, kind="title", height=40),
        block_at(["first line of the exam-", "ple & <more> “quoted”", "Größe 5 €"], 100, 150),
        Block(lines=(aside,), box=aside.box),
        block_at(["1 2", "3 4"], 100, 400, kind="table"),
        Block(lines=(), kind="figure", box=(100, 500, 300, 600)),
    )
    return Page(width=800, height=1000, number=number, blocks=blocks, dpi=(200.0, 200.0), dpi_guessed=False)


def two_columns(rows: int = 30, *, gutter: float = 30.0) -> Page:
    """A heading over two columns of lines, as journals have them."""
    words = ("the quick brown fox jumps over a lazy dog and", "runs far away from it all day long")
    stock = " ".join(words).split()
    blocks = [block_at(["Heading over both columns"], 400, 60, kind="title")]
    for column in range(2):
        texts = [
            f"{'left' if column == 0 else 'right'}{row} "
            + " ".join(stock[(row * 3 + index + column) % len(stock)] for index in range(6))
            for row in range(rows)
        ]
        blocks.append(block_at([text[:38] for text in texts], 60 + column * (390 + gutter), 150))
    return Page(width=60 * 2 + 780 + round(gutter), height=200 + 28 * rows, blocks=tuple(blocks), dpi=(100.0, 100.0))
