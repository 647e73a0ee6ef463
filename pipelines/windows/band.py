"""The part of a blended result that windows still touch, and the hand-over of every cell that none will touch again.

Windows come row of windows by row of windows, and within one from the first column on. Two buffers are held: `_slide`,
one window deep and one window wide, which moves along the columns, and `_carry`, the rows that the next row of windows
continues, as wide as the array but only as deep as the overlap. A band of full depth would be several times larger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.windows.blend import Blend, halo, window_weights
from vitapps.pipelines.windows.plan import WindowPlan

Array = NDArray[Any]
FULL = 65535  # a share of 1 as uint16
_IN_CACHE = 1 << 14  # cells blended at once
Write = Callable[[tuple[slice, ...], Array], None]


def share_unit(values: Array) -> float:
    """What stands for 1 in an array of shares: uint16 counts them in steps of 1 / FULL."""
    return FULL if values.dtype == np.uint16 else 1.0


class Band:
    """Running weighted means.

    mean += (value - mean) * w / (sum of w so far): equal values give exactly that value, whatever the weights, because
    the difference is exactly zero; a sum of w * value divided by a sum of w would round. The first value of a cell is
    taken as it is, since 0 + (value - 0) * w / w is exactly the value.
    """

    def __init__(self, plan: WindowPlan, shape: tuple[int, ...], blend: Blend, write: Write) -> None:
        self._flat = len(shape) == 1  # one axis: a second one of a single column is added
        self._shape = (*shape, 1) if self._flat else shape
        self._window = (*plan.window, 1) if self._flat else plan.window
        self._full = (*plan.shape, 1) if self._flat else plan.shape
        self._starts = plan.starts[0]
        self._write = write
        self._halo = (*halo(plan), 0) if self._flat and blend == "crop" else halo(plan) if blend == "crop" else None
        self._weights = window_weights(self._window, blend)
        self._at = (self._starts[0], 0)  # first row and column of `_slide`
        self._slide: _Means | None = None
        self._carry: _Means | None = None

    def move_to(self, lines: tuple[int, ...]) -> None:
        """Windows from now on start at row `lines[0]` and column `lines[1]`, or later."""
        row, column = (*lines, 0)[:2]
        if self._slide is None:
            self._at = (row, column)
            return
        if row != self._at[0]:
            self._slide_to(self._full[1])  # the rest of this row of windows
            self._at = (row, 0)
            self._enter(0, 0)
        if column != self._at[1]:
            self._slide_to(column)

    def add(self, places: Sequence[tuple[int, ...]], answers: Array) -> None:
        """Blend in the B K *window of the windows at `places`."""
        for place, answer in zip(places, answers, strict=True):
            self._add(place, answer)

    def _add(self, place: tuple[int, ...], answer: Array) -> None:
        if self._flat:
            answer, place = answer[..., None], (*place, 0)
        if self._slide is None:
            kind = _kind_of(answer)
            deepest = max((self._window[0] - self._ready(start) for start in self._starts), default=0)
            self._slide = _Means(np.zeros((len(answer), *self._window[:2], *self._full[2:]), kind))
            self._carry = _Means(np.zeros((len(answer), deepest, *self._full[1:]), kind))
        inner = _inner(place, self._window, self._halo, self._full)
        cells = tuple(slice(p + i.start, p + i.stop) for p, i in zip(place[2:], inner[2:], strict=True))
        self._slide.blend((*inner[:2], *cells), answer[(slice(None), *inner)], self._weights[inner])

    def finish(self) -> None:
        """Hand out what is left."""
        if self._slide is not None:
            self._slide_to(self._full[1])

    def _ready(self, row: int) -> int:
        """Rows that are final when the row of windows at `row` is done."""
        later = [start for start in self._starts if start > row]
        return (later[0] if later else row + self._window[0]) - row

    def _slide_to(self, column: int) -> None:
        """Columns before `column` are done for this row of windows: hand out the final rows, keep the others."""
        slide, carry = self._slide, self._carry
        assert slide is not None and carry is not None
        row, first = self._at
        done, ready = min(column - first, self._window[1]), self._ready(row)
        self._hand_out(slide.mean[:, :ready, :done], row, first)
        carry.take(slide, slice(ready, self._window[0]), slice(0, done), (0, first))
        slide.shift(done)
        self._at = (row, column)
        self._enter(first + self._window[1], self._window[1] - done)

    def _enter(self, column: int, place: int) -> None:
        """Columns from `column` on come in at `place` of `_slide` with what the last row of windows left of them."""
        slide, carry = self._slide, self._carry
        assert slide is not None and carry is not None
        index = self._starts.index(self._at[0])
        wide = min(self._window[1] - place, self._full[1] - column)
        slide.clear(place)
        if index and wide > 0:
            kept = self._window[0] - self._ready(self._starts[index - 1])
            slide.take(carry, slice(0, kept), slice(column, column + wide), (0, place))

    def _hand_out(self, values: Array, row: int, column: int) -> None:
        rows, columns = min(values.shape[1], self._shape[0] - row), min(values.shape[2], self._shape[1] - column)
        if rows <= 0 or columns <= 0:
            return
        rest = tuple(slice(0, n) for n in self._shape[2:])
        part = values[(slice(None), slice(0, rows), slice(0, columns), *rest)]
        place = (slice(row, row + rows), slice(column, column + columns), *rest)
        self._write(place[:1], part[..., 0]) if self._flat else self._write(place, part)


class Whole:
    """`Band` for a result that is kept as a whole: windows are blended where they lie, nothing is moved or copied.

    `into`: zeros K *shape to blend into; else they are made as the first answers need them.
    """

    def __init__(self, plan: WindowPlan, shape: tuple[int, ...], blend: Blend, into: Array | None = None) -> None:
        self._plan, self._shape = plan, shape
        self._halo = halo(plan) if blend == "crop" else None
        self._weights = window_weights(plan.window, blend)
        self._means = None if into is None else _Means(into)

    def add_rows(self, place: tuple[int, ...], rows: slice, answer: Array) -> None:
        """Blend in the rows K r *window of the window at `place`; not for `crop`."""
        assert self._means is not None and self._halo is None
        first, *others = (slice(p, p + wide) for p, wide in zip(place, self._plan.window, strict=True))
        cells = (slice(first.start + rows.start, first.start + rows.stop), *others)
        self._means.blend(cells, answer, self._weights[rows])

    def add(self, places: Sequence[tuple[int, ...]], answers: Array) -> None:
        """Blend in the B K *window of the windows at `places`."""
        if self._means is None:
            self._means = _Means(np.zeros((answers.shape[1], *self._plan.shape), _kind_of(answers)))
        for place, answer in zip(places, answers, strict=True):
            inner = _inner(place, self._plan.window, self._halo, self._plan.shape)
            cells = tuple(slice(p + part.start, p + part.stop) for p, part in zip(place, inner, strict=True))
            self._means.blend(cells, answer[(slice(None), *inner)], self._weights[inner])

    def result(self) -> Array:
        """K *shape."""
        assert self._means is not None
        return self._means.mean[(slice(None), *(slice(0, n) for n in self._shape))]


def _inner(
    place: tuple[int, ...], window: tuple[int, ...], cut: tuple[int, ...] | None, full: tuple[int, ...]
) -> tuple[slice, ...]:
    """The part of a window that counts: all of it, or without the halo `cut` where another window covers that."""
    if cut is None:
        return tuple(slice(0, wide) for wide in window)
    return tuple(
        slice(away if start > 0 else 0, wide - (away if start + wide < end else 0))
        for start, wide, away, end in zip(place, window, cut, full, strict=True)
    )


def _kind_of(answer: Array) -> Any:
    return np.result_type(answer.dtype, np.float32) if answer.dtype.kind in "fiu" else answer.dtype


class _Means:
    """Weighted means K R C *rest, zero at first, and the sums of their weights R C *rest.

    Means of uint16 are shares (`share_unit`): half the memory of float32. Float16 would be no smaller and ten times
    slower, since nearly all shares are small and numpy converts small halves in software.
    """

    def __init__(self, mean: Array) -> None:
        self.mean = mean
        self._sum = np.zeros(mean.shape[1:], np.float32)
        self._kind = np.float32 if mean.dtype == np.uint16 else mean.dtype
        self._scratch: Array = np.empty(0, self._kind)

    def blend(self, where: tuple[slice, ...], values: Array, weights: NDArray[np.float32]) -> None:
        sums = self._sum[where]
        sums += weights
        share = weights / sums
        means = self.mean[(slice(None), *where)]
        step = max(1, _IN_CACHE * len(share) // max(share.size, 1))
        for first in range(0, len(share), step):  # some rows, class after class: share and scratch stay in the cache
            rows = slice(first, first + step)
            self._blend_rows(means[:, rows], values[:, rows], share[rows])

    def _blend_rows(self, means: Array, values: Array, share: NDArray[np.float32]) -> None:
        if self._scratch.shape != share.shape:
            self._scratch = np.empty(share.shape, self._kind)
        for mean, value in zip(means, values, strict=True):
            if mean.dtype == np.uint16:
                self._blend_shares(mean, value, share)
                continue
            difference = np.subtract(value, mean, out=self._scratch)
            difference *= share
            mean += difference

    def _blend_shares(self, mean: Array, value: Array, share: NDArray[np.float32]) -> None:
        difference = np.multiply(value, np.float32(FULL), out=self._scratch)
        difference -= mean
        difference *= share
        difference += mean
        difference += np.float32(0.5)  # what is cut off below is rounded by this
        np.copyto(mean, difference, casting="unsafe")

    def take(self, other: _Means, rows: slice, columns: slice, place: tuple[int, int]) -> None:
        """Copy rows and columns of `other` to `place`."""
        there = tuple(
            slice(p, p + part.stop - part.start) for p, part in zip(place, (rows, columns), strict=True)
        )  # fmt: skip
        self.mean[(slice(None), *there)] = other.mean[:, rows, columns]
        self._sum[there] = other._sum[rows, columns]

    def shift(self, columns: int) -> None:
        """Move everything `columns` to the front."""
        for cells in (*self.mean, self._sum):  # one class at a time: numpy copies what overlaps
            cells[:, : cells.shape[1] - columns] = cells[:, columns:]

    def clear(self, column: int) -> None:
        """Zero from `column` on."""
        self.mean[:, :, column:] = 0
        self._sum[:, column:] = 0
