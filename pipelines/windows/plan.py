"""Where windows lie, and which cells of the output they share: regular steps, the last window flush with the end.

The first elements of the windows cut every axis into intervals; their products are the cells. A cell is touched by the
windows that start at or before it, so in lexicographic order (any order of axes) cell `i` is final once window `i` has
been added. That is what keeps memory to the front of windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vitapps.errors import UsageError

Index = tuple[int, ...]
Box = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowPlan:
    """Windows over an array with `size` elements per axis.

    `shape` is `size`, but at least `window`: a smaller array is padded at its end. `starts[a]` are the first elements
    of the windows along axis a. `order` are the axes, the slowest first, in which windows are visited.
    """

    size: tuple[int, ...]
    shape: tuple[int, ...]
    window: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]

    def __len__(self) -> int:
        number = 1
        for axis in self.starts:
            number *= len(axis)
        return number

    def __iter__(self) -> Iterator[Index]:
        """The index of every window, one number per axis."""
        back = [self.order.index(axis) for axis in range(len(self.order))]
        for turned in itertools.product(*(range(len(self.starts[axis])) for axis in self.order)):
            yield tuple(turned[place] for place in back)

    def box(self, index: Index) -> Box:
        """Where window `index` lies in the array, cut off at the array's end."""
        firsts = [axis[i] for axis, i in zip(self.starts, index, strict=True)]
        return tuple(slice(s, min(s + w, n)) for s, w, n in zip(firsts, self.window, self.size, strict=True))


def plan_windows(
    shape: Sequence[int], window: Sequence[int], overlap: float | Sequence[float] = 0.5, *, small: bool = False
) -> WindowPlan:
    """Windows over `shape`; `overlap` is the share that neighbours have in common, 0 <= overlap < 1.

    Windows are visited with the first axis slowest, or, with `small`, in the order that keeps the front of unfinished
    cells smallest. Raises UsageError for sizes below 1, an overlap out of range, or axes that do not match.
    """
    shares = tuple(overlap) if isinstance(overlap, Sequence) else (overlap,) * len(window)
    if not len(shape) == len(window) == len(shares) > 0:
        raise UsageError(f"{len(shape)} axes, {len(window)} window sizes, {len(shares)} overlaps", hint="one per axis")
    if min(*shape, *window) < 1 or not all(0 <= share < 1 for share in shares):
        raise UsageError(
            f"window {tuple(window)} with overlap {overlap} over {tuple(shape)}", hint="sizes from 1, 0 <= overlap < 1"
        )
    full = tuple(max(n, w) for n, w in zip(shape, window, strict=True))
    steps = [max(1, round(w * (1 - share))) for w, share in zip(window, shares, strict=True)]
    starts = tuple(_starts(n, w, step) for n, w, step in zip(full, window, steps, strict=True))
    order = list(range(len(full)))
    if small:  # the slowest axis carries its overlap times all the others
        order.sort(key=lambda a: (window[a] - steps[a]) / full[a] if len(starts[a]) > 1 else 0.0)
    return WindowPlan(size=tuple(shape), shape=full, window=tuple(window), starts=starts, order=tuple(order))


def _starts(size: int, window: int, step: int) -> tuple[int, ...]:
    last = size - window
    return (*range(0, last, step), last)
