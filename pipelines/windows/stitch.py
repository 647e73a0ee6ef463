"""Apply a function window by window and put the answers together; memory beyond the result is a band of windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.pipelines.windows.blend import Blend, window_weights
from vitapps.pipelines.windows.plan import WindowPlan, plan_windows
from vitapps.progress import Progress, null_progress

Array = NDArray[Any]
Function = Callable[[Array], Array]
Read = Callable[[tuple[slice, ...]], Array]
Write = Callable[[slice, Array], None]


def tile_apply(
    x: Array,
    fn: Function,
    *,
    window: Sequence[int],
    overlap: float | Sequence[float] = 0.5,
    blend: Blend = "gaussian",
    out: Literal["accumulate", "argmax"] = "accumulate",
    batch: int = 1,
    progress: Progress = null_progress,
) -> Array:
    """`fn` over windows of `x` (C *spatial), blended: K *spatial, or with `argmax` the class indices (*spatial).

    `fn` maps B C *window to B K *window. Where all windows agree on a value the result is that value, bit for bit. An
    input below the window is padded by its edge values and cropped back. Raises UsageError for impossible windows.
    """
    shape = x.shape[1:]
    result: list[Array] = []

    def write(rows: slice, values: Array) -> None:
        final = values.argmax(0).astype(np.min_scalar_type(len(values) - 1)) if out == "argmax" else values
        if not result:
            lead = () if out == "argmax" else (len(values),)
            result.append(np.empty((*lead, *shape), final.dtype))
        place = (rows,) if out == "argmax" else (slice(None), rows)
        result[0][place] = final

    with progress.task("windows", total=len(plan_windows(shape, window, overlap))) as task:

        def counted(stack: Array) -> Array:
            answers = fn(stack)
            task.advance(len(stack))
            return answers

        stream_apply(
            lambda where: x[(slice(None), *where)], shape, counted, write,
            window=window, overlap=overlap, blend=blend, batch=batch,
        )  # fmt: skip
    return result[0]


def stream_apply(
    read: Read,
    shape: Sequence[int],
    fn: Function,
    write: Write,
    *,
    window: Sequence[int],
    overlap: float | Sequence[float] = 0.5,
    blend: Blend = "gaussian",
    batch: int = 1,
) -> None:
    """The form for arrays that do not fit in memory.

    `read(slices)` gives C *cells; `write(rows, K rows *rest)` receives every row of the first axis once, in order, as
    soon as the front of windows has passed it. Only one window's depth of rows is held.
    """
    if batch < 1:
        raise UsageError(f"a batch of {batch} windows", hint="1 or more")
    plan = plan_windows(shape, window, overlap)
    band = _Band(plan, tuple(shape), window_weights(plan.window, blend), write)
    for start in plan.starts[0]:
        band.advance(start)
        for places in _batches(itertools.product((start,), *plan.starts[1:]), batch):
            _add(band, plan, read, fn, places, tuple(shape))
    band.advance(plan.shape[0])


def _add(
    band: _Band, plan: WindowPlan, read: Read, fn: Function, places: list[tuple[int, ...]], shape: tuple[int, ...],
) -> None:  # fmt: skip
    stack = np.stack([_window(read, place, plan.window, shape) for place in places])  # B C *window
    answers = fn(stack)  # -> B K *window
    if answers.shape[0] != len(places) or answers.shape[2:] != plan.window:
        raise UsageError(f"the function made {answers.shape} of {stack.shape}", hint="it must keep batch and window")
    for place, answer in zip(places, answers, strict=True):
        band.add(place, answer)


def _window(read: Read, place: tuple[int, ...], window: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    where = tuple(slice(s, min(s + w, n)) for s, w, n in zip(place, window, shape, strict=True))
    cells = read(where)
    short = [(0, w - n) for w, n in zip(window, cells.shape[1:], strict=True)]
    return np.pad(cells, [(0, 0), *short], mode="edge") if any(after for _, after in short) else cells


class _Band:
    """Running weighted means of the rows that windows still touch.

    mean += (value - mean) * w / (sum of w so far): equal values give exactly that value, whatever the weights, because
    the difference is exactly zero; a sum of w * value divided by a sum of w would round.
    """

    def __init__(self, plan: WindowPlan, shape: tuple[int, ...], weights: NDArray[np.float32], write: Write) -> None:
        self._plan, self._shape, self._write = plan, shape, write
        self._weights = weights
        self._first = 0  # row that the buffer starts at
        self._means: Array | None = None
        self._sums = np.zeros(plan.window[:1] + plan.shape[1:], np.float32)

    def add(self, place: tuple[int, ...], answer: Array) -> None:
        if self._means is None:
            kind = np.result_type(answer.dtype, np.float32) if answer.dtype.kind in "fiu" else answer.dtype
            self._means = np.zeros((len(answer), *self._sums.shape), kind)
        where = tuple(slice(s, s + w) for s, w in zip(place[1:], self._plan.window[1:], strict=True))
        means, sums = self._means[(slice(None), slice(None), *where)], self._sums[(slice(None), *where)]
        fresh = sums == 0
        sums += self._weights
        share = np.where(fresh, np.float32(1), self._weights / sums)
        if fresh.all():
            means[...] = answer
        else:
            np.copyto(means, answer, where=fresh)
            means += (answer - means) * share

    def advance(self, first: int) -> None:
        """Hand out all rows below `first` and move the buffer there."""
        ready = first - self._first
        if ready <= 0 or self._means is None:
            return
        last = min(first, self._shape[0])
        crop = tuple(slice(0, n) for n in self._shape[1:])
        stop = last - self._first
        self._write(slice(self._first, last), self._means[(slice(None), slice(0, stop), *crop)].copy())
        left = self._sums.shape[0] - ready
        if left > 0:
            self._means[:, :left] = self._means[:, ready:].copy()
            self._sums[:left] = self._sums[ready:].copy()
        self._means[:, max(0, left) :] = 0
        self._sums[max(0, left) :] = 0
        self._first = first


def _batches(places: Iterator[tuple[int, ...]], size: int) -> Iterator[list[tuple[int, ...]]]:
    while group := list(itertools.islice(places, size)):
        yield group
