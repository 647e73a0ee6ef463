"""Where windows lie: evenly spread, the first and the last flush with the ends, every cell covered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vitapps.errors import UsageError


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """`starts[a]` are the first cells of the windows along axis a; `shape` is at least `window` along every axis."""

    shape: tuple[int, ...]
    window: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        number = 1
        for axis in self.starts:
            number *= len(axis)
        return number

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """First cells of every window, the first axis slowest."""
        return itertools.product(*self.starts)


def plan_windows(shape: Sequence[int], window: Sequence[int], overlap: float | Sequence[float] = 0.5) -> WindowPlan:
    """Windows over `shape` (a shape below the window counts as the window). `overlap` is the shared share, 0 <= o < 1.

    Raises UsageError for sizes below 1, an overlap out of range, or axes that do not match.
    """
    shares = tuple(overlap) if isinstance(overlap, Sequence) else (overlap,) * len(window)
    if not len(shape) == len(window) == len(shares):
        raise UsageError(f"{len(shape)} axes, {len(window)} window sizes, {len(shares)} overlaps", hint="one per axis")
    if min(*shape, *window) < 1 or not all(0 <= share < 1 for share in shares):
        raise UsageError(
            f"window {tuple(window)} with overlap {overlap} over {tuple(shape)}", hint="sizes from 1, 0 <= overlap < 1"
        )
    full = tuple(max(n, w) for n, w in zip(shape, window, strict=True))
    steps = [max(1, round(w * (1 - share))) for w, share in zip(window, shares, strict=True)]
    starts = tuple(_starts(n, w, step) for n, w, step in zip(full, window, steps, strict=True))
    return WindowPlan(full, tuple(window), starts)


def _starts(size: int, window: int, step: int) -> tuple[int, ...]:
    """As few windows as steps of at most `step` allow; a last one that overlaps almost wholly would be wasted."""
    last = size - window
    intervals = -(-last // step)
    return tuple(round(number * last / intervals) for number in range(intervals + 1)) if intervals else (0,)
