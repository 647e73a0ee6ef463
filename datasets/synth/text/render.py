"""One line of writing as ink: words of one or several faces on a common baseline, with the box of each word."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.text.fonts import Face, open_face

Ink = NDArray[np.uint8]  # H W: 0 bare paper, 255 full ink
_ABOVE, _BELOW = 1.25, 0.6  # of the size: room for accents, brackets, descenders


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A word without blanks and the face that draws it."""

    word: str
    face: Face


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """`gap`: width of a blank and `tracking`: extra between letters, as shares of the face's blank and of the size;
    `wide_gap`: number of the blank that is five times as wide, -1 for none; `stretch` of the width."""

    gap: float = 1.0
    tracking: float = 0.0
    wide_gap: int = -1
    stretch: float = 1.0
    underline: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnLine:
    """`ink` H W; `baseline`: row below the letters that stand on it; `words`: x0, x1 in pixels of each word."""

    text: str
    ink: Ink
    baseline: int
    words: tuple[tuple[float, float], ...]


def size_for(face: Face, height: float) -> int:
    """The em size at which `face` reaches `height` pixels from the top of `d` to the foot of `p`; 5 or more."""
    return max(5, round(height / _reach(face.path, face.index)))


@functools.cache
def _reach(path: str, index: int) -> float:
    """From the top of `d` to the foot of `p`, in sizes."""
    _, top, _, foot = open_face(path, index, 100).getbbox("dp", anchor="ls")
    return float(max(1, foot - top)) / 100


def draw_line(runs: Sequence[Run], size: int, setting: Setting | None = None) -> DrawnLine:
    """Draw `runs` at `size` pixels to the em, one blank between them. Kerning and ligatures are the faces' own unless
    letters are spaced out. The picture reaches 1.25 sizes above and 0.6 below the baseline."""
    from PIL import Image, ImageDraw

    setting = setting or Setting()
    fonts = [open_face(run.face.path, run.face.index, size) for run in runs]
    starts, x = [], size * 0.25
    blank = fonts[0].getlength(" ") * setting.gap
    widths = [_width(font, run.word, setting.tracking * size) for font, run in zip(fonts, runs, strict=True)]
    for place, width in enumerate(widths):
        starts.append(x)
        wide = 5.0 if place == setting.wide_gap else 1.0
        x += width + blank * wide
    baseline = round(size * _ABOVE)
    image = Image.new("L", (int(x + size * 0.5) + 1, baseline + round(size * _BELOW)), 0)
    draw = ImageDraw.Draw(image)
    for start, font, run in zip(starts, fonts, runs, strict=True):
        _draw_word(draw, (start, baseline), run.word, font, setting.tracking * size)
    if setting.underline:
        row = baseline + max(1, round(size * 0.12))
        draw.line((starts[0], row, starts[-1] + widths[-1], row), fill=255, width=max(1, size // 16))
    image = _stretched(image, setting.stretch)
    by = setting.stretch
    words = tuple((start * by, (start + width) * by) for start, width in zip(starts, widths, strict=True))
    return DrawnLine(
        text=" ".join(run.word for run in runs), ink=np.asarray(image, np.uint8), baseline=baseline, words=words
    )


def _width(font: Any, word: str, tracking: float) -> float:
    if tracking == 0:
        return float(font.getlength(word))
    return sum(float(font.getlength(char)) + tracking for char in word)


def _draw_word(draw: Any, at: tuple[float, float], word: str, font: Any, tracking: float) -> None:
    x, y = at
    if tracking == 0:
        draw.text((x, y), word, font=font, fill=255, anchor="ls")
        return
    for char in word:
        draw.text((x, y), char, font=font, fill=255, anchor="ls")
        x += font.getlength(char) + tracking


def _stretched(image: Any, stretch: float) -> Any:
    if stretch == 1.0:
        return image
    from PIL import Image

    return image.resize((max(1, round(image.width * stretch)), image.height), Image.Resampling.BILINEAR)
