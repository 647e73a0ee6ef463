"""The text that a page of a PDF already has, as blocks, lines and words in the order in which the page draws it."""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vitapps.datasets.formats.page_text import Block, Box, Line, Quad, Word, around
from vitapps.datasets.formats.pdf_frame import PageFrame

MAX_CHARACTERS = 200_000  # of a page; a hostile one could hold as many as its file has bytes
_HYPHENS = (0x02, 0xFFFE)  # what pdfium makes of the hyphen at the end of a line
_INVISIBLE = 3  # text rendering mode
_LIGATURES = {chr(0xFB00 + index): text for index, text in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"))}


@dataclass(slots=True)
class _Run:
    """A word as it grows. `turn`: quarter turns clockwise of its direction of reading on the displayed page; `box` in
    the frame that is turned back, so that it reads left to right."""

    turn: int
    text: str
    box: Box


@dataclass(slots=True)
class _Row:
    runs: list[_Run] = field(default_factory=list)

    @property
    def box(self) -> Box:
        return around([run.box for run in self.runs])


def read_text(page: Any, frame: PageFrame, *, visible: bool = False) -> tuple[Block, ...]:
    """The blocks of a pypdfium2 page, in pixels of `frame`; with `visible` without what a layer over a scan holds."""
    text = page.get_textpage()
    try:
        runs = list(_runs(text, frame, visible))
    finally:
        text.close()
    rows: list[_Row] = []
    for run in runs:
        if rows and _goes_on(rows[-1], run):
            rows[-1].runs.append(run)
        else:
            rows.append(_Row([run]))
    groups: list[list[_Row]] = []
    for row in rows:
        if groups and _same_block(groups[-1][-1], row):
            groups[-1].append(row)
        else:
            groups.append([row])
    return tuple(_block(group, frame) for group in groups)


def is_sound(blocks: tuple[Block, ...]) -> bool:
    """Whether text is what a person would read: few characters that no font maps, and letters or figures in it."""
    text = "".join(word.text for block in blocks for line in block.lines for word in line.words)
    bad = sum(unicodedata.category(letter) in ("Cc", "Co", "Cn", "Cs") or letter == "\ufffd" for letter in text)
    return bool(text) and bad <= 0.05 * len(text) and any(letter.isalnum() for letter in text)


def _runs(text: Any, frame: PageFrame, visible: bool) -> Iterator[_Run]:
    """Words: characters without white space or a jump between them."""
    import pypdfium2.raw as raw

    run: _Run | None = None
    box = raw.FS_RECTF()
    for index in range(min(int(raw.FPDFText_CountChars(text)), MAX_CHARACTERS)):
        if visible and raw.FPDFTextObj_GetTextRenderMode(raw.FPDFText_GetTextObject(text, index)) == _INVISIBLE:
            continue
        code = int(raw.FPDFText_GetUnicode(text, index))
        letter = "-" if code in _HYPHENS else _legal(code)
        if not letter or letter.isspace() or raw.FPDFText_GetLooseCharBox(text, index, ctypes.byref(box)) != 1:
            if run and (not letter or letter.isspace()):
                yield run
                run = None
            continue
        turn = _turn(float(raw.FPDFText_GetCharAngle(text, index)), frame)
        place = _turned_back((box.left, box.bottom, box.right, box.top), turn, frame)
        if run and (run.turn != turn or _jumps(run.box, place)):
            yield run
            run = None
        letter = _LIGATURES.get(letter, letter)
        run = _Run(turn, run.text + letter, around([run.box, place])) if run else _Run(turn, letter, place)
    if run:
        yield run


def _legal(code: int) -> str:
    """The character, empty for none and for a half of a surrogate pair."""
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else ""


def _turn(angle: float, frame: PageFrame) -> int:
    """Quarter turns clockwise on the displayed page of a direction given in radians clockwise, as pdfium does."""
    if not math.isfinite(angle):
        angle = 0.0
    return (round(angle / (math.pi / 2)) + frame.rotation // 90) % 4


def _turned_back(rect: Box, turn: int, frame: PageFrame) -> Box:
    """A box in user space -> pixels, turned so that its writing reads left to right."""
    (xa, ya), (xb, yb) = frame.to_pixels(rect[0], rect[1]), frame.to_pixels(rect[2], rect[3])
    x0, x1, y0, y1 = min(xa, xb), max(xa, xb), min(ya, yb), max(ya, yb)
    return {0: (x0, y0, x1, y1), 1: (y0, -x1, y1, -x0), 2: (-x1, -y1, -x0, -y0), 3: (-y1, x0, -y0, x1)}[turn]


def _jumps(box: Box, place: Box) -> bool:
    """Whether a character stands elsewhere than right after the word."""
    height = max(box[3] - box[1], 1e-6)
    middle = (place[1] + place[3]) / 2
    return not box[1] <= middle <= box[3] or not -height <= place[0] - box[2] <= 0.6 * height


def _goes_on(row: _Row, run: _Run) -> bool:
    """Whether the word stands on the line, to the right of what is there and not a column away."""
    last, height = row.runs[-1], max(row.box[3] - row.box[1], 1e-6)
    middle = (run.box[1] + run.box[3]) / 2
    ahead = run.box[0] - last.box[2]
    return run.turn == last.turn and row.box[1] <= middle <= row.box[3] and -0.3 * height <= ahead <= 4 * height


def _same_block(above: _Row, row: _Row) -> bool:
    one, other = above.box, row.box
    height = max(one[3] - one[1], 1e-6)
    overlap = min(one[2], other[2]) > max(one[0], other[0])
    alike = 0.7 < (other[3] - other[1]) / height < 1.4
    below = -0.3 * height < other[1] - one[3] < 0.7 * height
    return overlap and alike and below and above.runs[0].turn == row.runs[0].turn


def _block(rows: list[_Row], frame: PageFrame) -> Block:
    lines = tuple(
        Line(
            words=tuple(Word(text=run.text, quad=_quad(run.box, run.turn)) for run in row.runs),
            quad=_quad(row.box, row.runs[0].turn),
        )
        for row in rows
    )
    return Block(lines=lines, box=around([line.box for line in lines]))


def _quad(box: Box, turn: int) -> Quad:
    """The corners of a box that was turned back, where they are on the page."""
    x0, y0, x1, y1 = box

    def place(x: float, y: float) -> tuple[float, float]:
        return {0: (x, y), 1: (-y, x), 2: (-x, -y), 3: (y, -x)}[turn]

    return (place(x0, y0), place(x1, y0), place(x1, y1), place(x0, y1))
