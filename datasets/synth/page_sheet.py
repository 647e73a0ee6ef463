"""A blank sheet on which lines of writing are set, each with its words' boxes: the drawing half of `pages.py`.

Lengths are pixels, x right, y down, origin at the outer corner of the first pixel. A line's box reaches from the top
of `d` and `H` to the foot of `g` and `p` of its font, whatever letters it holds, so that all boxes of one font are
equally high.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Block, BlockKind, Line, Word, around, quad_of
from vitapps.datasets.synth.text.fonts import Face, find_faces, open_face

Grey = NDArray[np.uint8]
_LETTERS = "etaoinshrdlucmfwypvbgkqjxz"
_WEIGHTS = np.array([12.7, 9.1, 8.2, 7.5, 7, 6.7, 6.3, 6.1, 6, 4.3, 4, 2.8, 2.8, 2.4, 2.2, 2.4, 2, 1.9, 1, 1.5, 2, 0.8,
                     0.3, 0.3, 0.3, 0.2])  # fmt: skip


@lru_cache(maxsize=1)
def installed_faces() -> tuple[Face, ...]:
    """The faces of this machine, looked for once a process."""
    return find_faces()


@lru_cache(maxsize=256)
def pen_of(face: Face, size: int) -> Pen:
    """A face at a size in pixels an em."""
    font = open_face(face.path, face.index, size)
    top = -font.getbbox("dH", anchor="ls")[1]
    return Pen(font=font, size=size, top=max(3, int(top)), foot=max(1, int(font.getbbox("gp", anchor="ls")[3])))


@dataclass(frozen=True, slots=True)
class Pen:
    """A font at one size; `top` and `foot`: pixels above and below the baseline."""

    font: Any
    size: int
    top: int
    foot: int

    @property
    def space(self) -> float:
        """Width of the gap between two words."""
        return max(2.0, float(self.font.getlength(" ")))

    def width(self, words: list[str]) -> float:
        """Of words with single spaces."""
        return sum(float(self.font.getlength(word)) for word in words) + self.space * (len(words) - 1)


def made_up_words(rng: np.random.Generator, number: int, *, figures: float = 0.06) -> list[str]:
    """Words of letters as frequent as in English, some with capitals, marks or of figures (a share of `figures`)."""
    lengths = 1 + rng.poisson(3.7, number)
    letters = rng.choice(list(_LETTERS), size=int(lengths.sum()), p=_WEIGHTS / _WEIGHTS.sum())
    words = ["".join(part) for part in np.split(letters, np.cumsum(lengths)[:-1])]
    chance = rng.random((3, number))
    for place in range(number):
        if chance[0, place] < figures:
            words[place] = str(rng.choice(["%d", "%d.%02d", "%d%%", "(%d)", "$%d", "%d/%d"])).replace("%%", "%")
            words[place] = _filled(words[place], rng)
        elif chance[1, place] < 0.12:
            words[place] = words[place].capitalize()
        elif chance[1, place] < 0.14:
            words[place] = words[place].upper()
        if chance[2, place] < 0.12:
            words[place] += ".,;:-?!"[rng.integers(7)]
    return words


def _filled(pattern: str, rng: np.random.Generator) -> str:
    while "%0" in pattern or "%d" in pattern:
        pattern = pattern.replace("%02d", f"{rng.integers(100):02d}", 1)
        pattern = pattern.replace("%d", str(rng.integers(10 ** int(rng.integers(1, 6)))), 1)
    return pattern


@dataclass(slots=True)
class Sheet:
    """`ink` H W: 255 paper, 0 ink. `faces` to set type in. `blocks` in reading order."""

    ink: Any  # PIL image of mode L
    rng: np.random.Generator
    faces: tuple[Face, ...]
    blocks: list[Block] = field(default_factory=list)

    @classmethod
    def blank(cls, width: int, height: int, rng: np.random.Generator, faces: tuple[Face, ...] = ()) -> Sheet:
        """White paper; without `faces`, those of this machine."""
        from PIL import Image

        return cls(ink=Image.new("L", (width, height), 255), rng=rng, faces=faces or installed_faces())

    def some_face(self) -> Face:
        """One of the faces by chance."""
        return self.faces[int(self.rng.integers(len(self.faces)))]

    @property
    def draw(self) -> Any:
        """Pillow's drawing tool for the ink."""
        from PIL import ImageDraw

        return ImageDraw.Draw(self.ink)

    def set_line(
        self, pen: Pen, words: list[str], x: float, baseline: float, *, space: float = 0.0, shade: int = 0
    ) -> Line:  # fmt: skip
        """Draw words from `x` on, `space` wide apart (0: the font's own), and say where they are."""
        draw = self.draw
        found = []
        for word in words:
            draw.text((x, baseline), word, font=pen.font, fill=shade, anchor="ls")
            end = x + float(pen.font.getlength(word))
            box = (x, baseline - pen.top, max(end, x + 1), baseline + pen.foot)
            found.append(Word(text=word, quad=quad_of(box)))
            x = end + (space or pen.space)
        return Line(words=tuple(found), quad=quad_of(around([word.box for word in found])))

    def add(self, kind: BlockKind, lines: list[Line], box: tuple[float, float, float, float] | None = None) -> None:
        """A block of lines, or of a `box` alone (a figure)."""
        if lines or box:
            self.blocks.append(Block(kind=kind, lines=tuple(lines), box=box or around([line.box for line in lines])))
