"""Font sizes that make programs which rebuild reading order from places find the order that was read.

Poppler (pdftotext, Evince, Okular) gathers words to blocks before it orders them, and counts in font sizes: a line
joins a block above it within 1.5 sizes, if the sizes differ by less than 5 %; a word beside a block joins it within 0.7
sizes (three lines or fewer within 1). Blocks that stand beside one another in rows are taken for a table and read row
by row. So a column must become one block, and two columns must not. The letters cannot be seen, so their nominal size
is free (the font's ascent keeps the boxes right): blocks that follow one another down a column get one size, large
enough to reach over their gaps, too small to reach over the gutter; what stands apart from the text below gets another.

What is centred below two columns (a page number) makes them overlap for poppler, and then the one that begins higher
comes first: the left column is made to begin highest.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass

from vitapps.datasets.formats.line_metrics import metrics
from vitapps.datasets.formats.page_text import Block, Box, Line, around

_DOWN, _ACROSS, _APART = 1.45, 1.02, 0.92  # of the size, a little within what is known
INSET = 0.12  # of the height: lines begin and end so much later and earlier, which widens a narrow gutter
_LARGEST, _SMALLEST = 3.0, 0.5  # of the height of the letters
_STEP = 1.6  # sizes a step from line to line is at least: words within half a size of height are one line


@dataclass(slots=True)
class _Chain:
    """Blocks that follow one another down a column."""

    members: list[int]
    box: Box
    lines: list[Line]
    height: float
    size: float = 0.0
    lift: float = 0.0


@dataclass(frozen=True, slots=True)
class TextSize:
    """Pixels: nominal `size` of a block's letters; `lift` by which the first line is to reach higher than it does."""

    size: float
    lift: float = 0.0


def full_height(line: Line, share_above: float) -> float:
    """Height from descender to ascender in pixels; `share_above` of it stands above the baseline, where the box of a
    line without descending letters ends."""
    found = metrics(line)
    return found.height if found.descent else found.height / share_above


def block_sizes(blocks: list[Block], share_above: float) -> list[TextSize]:
    """A size for each block, which all have lines; blocks that do not read left to right keep the height of their
    letters."""
    heights = [statistics.median(full_height(line, share_above) for line in block.lines) for block in blocks]
    level = [index for index, block in enumerate(blocks) if abs(metrics(block.lines[0]).angle) < 20]
    singles = [
        _Chain([index], around([line.box for line in blocks[index].lines]), list(blocks[index].lines), heights[index])
        for index in level
    ]
    chains: list[_Chain] = []
    for single in singles:
        joined = _joined(chains[-1], single) if chains else None
        if joined and _fits(joined, [other for other in singles if not set(other.members) & set(joined.members)]):
            chains[-1] = joined
        else:
            chains.append(single)
    for chain in chains:
        limit = _limit(chain, [other for other in chains if other is not chain])
        wanted = max(chain.height, *(step / _DOWN for step in _steps(chain)))
        chain.size = max(min(wanted, limit), _SMALLEST * chain.height)
    _set_apart(chains)
    _lift(chains)
    sizes = [TextSize(height) for height in heights]
    for chain in chains:
        for index in chain.members:
            sizes[index] = TextSize(chain.size, chain.lift if index == chain.members[0] else 0.0)
    return sizes


def _joined(chain: _Chain, new: _Chain) -> _Chain | None:
    """Both together, if `new` goes on below the chain."""
    across = min(chain.box[2], new.box[2]) - max(chain.box[0], new.box[0])
    low = min(chain.height, new.height)
    if across <= 0 or new.box[1] < chain.box[3] - 0.4 * low:
        return None
    return _Chain(
        [*chain.members, *new.members], around([chain.box, new.box]), [*chain.lines, *new.lines],
        min(chain.height, new.height),
    )  # fmt: skip


def _fits(chain: _Chain, others: list[_Chain]) -> bool:
    """Whether one size reaches over every step down the chain and over no gutter beside it."""
    limit = _limit(chain, others)
    return all(step <= _DOWN * limit for step in _steps(chain))


def _limit(chain: _Chain, others: list[_Chain]) -> float:
    """The largest size by the gutter, by the narrowest step and by the height of the letters."""
    steps = [step for step in _steps(chain) if step > 0.3 * chain.height]
    return min(_room(chain, others), _STEP * min(steps, default=float("inf")), _LARGEST * chain.height)


def _steps(chain: _Chain) -> list[float]:
    """Pixels from each baseline to the next that is lower."""
    bases = [_baseline(line) for line in chain.lines]
    return [max(0.0, after - before) for before, after in itertools.pairwise(bases)] or [0.0]


def _room(chain: _Chain, others: list[_Chain]) -> float:
    """The largest size that does not reach to what stands beside the chain; nothing where others lie within it."""
    gaps = []
    for other in others:
        overlap = min(chain.box[3], other.box[3]) - max(chain.box[1], other.box[1])
        if overlap > 0.3 * min(chain.height, other.height):
            gaps.append(max(chain.box[0], other.box[0]) - min(chain.box[2], other.box[2]))
    gap = min(gaps, default=float("inf"))
    return (gap + 2 * INSET * chain.height) / _ACROSS if gap > 0 else 0.0


def _set_apart(chains: list[_Chain]) -> None:
    """Chains that touch from above to below differ in size."""
    for number, chain in enumerate(chains):
        for _ in range(4):
            if not any(_touch(chain, other) for other in chains[:number]):
                break
            chain.size *= _APART


def _lift(chains: list[_Chain]) -> None:
    """A column begins a little higher than those to its right that come after it, if it begins near them."""
    for place in range(len(chains) - 1, -1, -1):
        chain = chains[place]
        for other in chains[place + 1 :]:
            beside = min(chain.box[3], other.box[3]) > max(chain.box[1], other.box[1])
            higher = chain.box[1] - other.box[1] + other.lift
            if beside and other.box[0] >= chain.box[2] and 0 <= higher < 1.2 * chain.size:
                chain.lift = max(chain.lift, higher + 0.05 * chain.size)


def _touch(one: _Chain, other: _Chain) -> bool:
    upper, lower = (one, other) if one.box[1] <= other.box[1] else (other, one)
    step = _baseline(lower.lines[0]) - _baseline(upper.lines[-1])
    overlap = min(one.box[2], other.box[2]) > max(one.box[0], other.box[0])
    return overlap and step < 1.6 * max(one.size, other.size) and abs(one.size - other.size) < 0.06 * one.size


def _baseline(line: Line) -> float:
    found = metrics(line)
    return (found.start[1] + found.end[1]) / 2
