"""Lines of any width end to end in strips, so that none is padded to the width of another and none is squashed.

This is the packing of NaViT (Dehghani et al. 2023, arXiv:2307.06304, section 2.1) along one axis: gaps part the lines
of a strip, and a network that knows gaps (`line_recogniser.py`) reads each line as if it were alone. Strips are short,
since attention is computed over a whole strip; a longer line has a strip of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.line_input import STEP, Line
from vitapps.shared_backbones.packing.first_fit import pack

LENGTH = 1024  # columns of a strip
BUCKET = 64  # widths of strips are multiples of it: few shapes for an engine to prepare


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """What parts two lines: `pixels` columns of `value`. Without pixels every line has a strip of its own, and `value`
    fills it up."""

    pixels: int = 0
    value: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """Numbers of the `lines` of a strip, the column where each starts, and the columns of all."""

    lines: tuple[int, ...]
    starts: tuple[int, ...]
    width: int


def plan_strips(widths: Sequence[int], gap: Gap) -> Iterator[Strip]:
    """Strips that hold every line once, whose `widths` are multiples of 4."""
    room = LENGTH + gap.pixels
    short = [place for place, width in enumerate(widths) if gap.pixels and width <= LENGTH]
    packed = pack([(widths[place] + gap.pixels) // STEP for place in short], room // STEP)
    for sequence in packed.sequences:
        yield _strip([short[item] for item in sequence], widths, gap)
    for place in sorted(set(range(len(widths))) - set(short)):
        yield _strip([place], widths, gap)


def _strip(lines: Sequence[int], widths: Sequence[int], gap: Gap) -> Strip:
    ends = np.cumsum([widths[place] + gap.pixels for place in lines]).tolist()
    return Strip(
        lines=tuple(lines), starts=(0, *ends[:-1]), width=-(-(ends[-1] - gap.pixels) // BUCKET) * BUCKET
    )  # fmt: skip


def laid_out(strip: Strip, lines: Sequence[Line], gap: Gap) -> NDArray[np.float32]:
    """The picture of a strip, 1 1 height width."""
    picture = np.full((1, 1, lines[0].shape[0], strip.width), gap.value, np.float32)
    for place, start in zip(strip.lines, strip.starts, strict=True):
        picture[0, 0, :, start : start + lines[place].shape[1]] = lines[place]
    return picture
