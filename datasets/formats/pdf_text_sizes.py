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
_BESIDE_MANY, _MANY = 0.74, 4  # _ACROSS to a column of that many lines
INSET = 0.12  # of the height: lines begin and end so much later and earlier, which widens a narrow gutter
_LARGEST, _SMALLEST = 3.0, 0.5  # of the height of the letters
_LEVEL = 20.0  # degrees: lines that slope more do not read left to right
_CLOSE = 1.5  # heights: pieces of a row that are no farther apart are one line
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
    """Height from descender to ascender in pixels; `share_above` of it stands above the baseline."""
    found = metrics(line)
    return (found.height - found.descent) / share_above


def line_sizes(blocks: list[Block], share_above: float) -> list[TextSize]:
    """A size for each line of the blocks, which all have lines; lines that do not read left to right keep the height of
    their letters."""
    lines = [line for block in blocks for line in block.lines]
    singles = [_single(run, lines, share_above) for run in _runs(blocks)]
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
    sizes = [TextSize(full_height(line, share_above)) for line in lines]
    for chain in chains:
        for place in chain.members:
            sizes[place] = TextSize(chain.size, chain.lift if place == chain.members[0] else 0.0)
    return sizes


def _runs(blocks: list[Block]) -> list[list[int]]:
    """The numbers of lines of a block that follow one another, downwards or a little to the right; cells of a row that
    stand apart begin a run of their own."""
    runs: list[list[int]] = []
    place = 0
    for block in blocks:
        last: Line | None = None
        for line in block.lines:
            if abs(metrics(line).angle) < _LEVEL:
                if last is not None and (_is_below(line, last) or _goes_on(line, last)):
                    runs[-1].append(place)
                else:
                    runs.append([place])
                last = line
            place += 1
    return runs


def _is_below(line: Line, last: Line) -> bool:
    return _baseline(line) - _baseline(last) > 0.5 * min(metrics(line).height, metrics(last).height)


def _goes_on(line: Line, last: Line) -> bool:
    """Whether a line goes on to the right of the last in the same row."""
    gap, height = line.box[0] - last.box[2], min(metrics(line).height, metrics(last).height)
    return abs(_baseline(line) - _baseline(last)) < 0.5 * height and -0.5 * height < gap < _CLOSE * height


def _single(run: list[int], lines: list[Line], share_above: float) -> _Chain:
    members = [lines[place] for place in run]
    height = statistics.median(full_height(line, share_above) for line in members)
    return _Chain(run, around([line.box for line in members]), members, height)


def _joined(chain: _Chain, new: _Chain) -> _Chain | None:
    """Both together, if `new` goes on below the chain."""
    across = min(chain.box[2], new.box[2]) - max(chain.box[0], new.box[0])
    if across <= 0 or not _is_below(new.lines[0], chain.lines[-1]):
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
    sizes = []
    for other in others:
        overlap = min(chain.box[3], other.box[3]) - max(chain.box[1], other.box[1])
        if overlap > 0.3 * min(chain.height, other.height):
            gap = max(chain.box[0], other.box[0]) - min(chain.box[2], other.box[2]) + 2 * INSET * chain.height
            sizes.append(gap / (_BESIDE_MANY if _face(chain, other, gap) else _ACROSS))
    return max(0.0, min(sizes, default=float("inf")))


def _face(one: _Chain, other: _Chain, gap: float) -> bool:
    """Whether many lines of each end or begin near the gutter between two columns: then a line within a whole size of
    the other column does not join it."""
    left, right = (one, other) if one.box[0] <= other.box[0] else (other, one)
    top, foot, reach = max(one.box[1], other.box[1]), min(one.box[3], other.box[3]), gap / _BESIDE_MANY
    ends = [line.box[2] for line in left.lines if top <= _baseline(line) <= foot]
    starts = [line.box[0] for line in right.lines if top <= _baseline(line) <= foot]
    return (
        sum(end > right.box[0] - reach for end in ends) >= _MANY
        and sum(start < left.box[2] + reach for start in starts) >= _MANY
    )


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
