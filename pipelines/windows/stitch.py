"""Apply a function window by window and put the answers together; memory beyond the result is a part of a band, or
nothing where the result is kept as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.pipelines.windows.band import Band, Whole, Write
from vitapps.pipelines.windows.blend import Blend
from vitapps.pipelines.windows.plan import WindowPlan, plan_windows
from vitapps.pipelines.windows.prefetch import ahead
from vitapps.progress import Progress, null_progress

Array = NDArray[Any]
Function = Callable[[Array], Array]
Read = Callable[[tuple[slice, ...]], Array]
Place = tuple[int, ...]


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
    plan = plan_windows(shape, window, overlap)
    with progress.task("windows", total=len(plan)) as task:

        def counted(stack: Array) -> Array:
            answers = fn(stack)
            task.advance(len(stack))
            return answers

        def read(where: tuple[slice, ...]) -> Array:
            return x[(slice(None), *where)]

        if out == "accumulate":
            whole = Whole(plan, shape, blend)
            for _, places, answers in _answers(read, plan, shape, counted, batch):
                whole.add(places, answers)
                del answers  # before the next ones are made
            return whole.result()
        found: list[Array] = []

        def write(place: tuple[slice, ...], values: Array) -> None:
            if not found:
                found.append(np.empty(shape, np.min_scalar_type(len(values) - 1)))
            found[0][place] = largest(values)

        stream_apply(read, shape, counted, write, window=window, overlap=overlap, blend=blend, batch=batch)
    return found[0]


def tile_rows(
    x: Array,
    fn: Callable[[Array], Iterator[tuple[slice, Array]]],
    into: Array,
    *,
    window: Sequence[int],
    overlap: float | Sequence[float] = 0.5,
    progress: Progress = null_progress,
) -> None:
    """`tile_apply` with Gaussian weights for answers that are too large to hold for a whole window.

    `fn` maps 1 C *window to pairs of rows and K rows *rest, which together cover the window; they are blended into
    `into` K *spatial, zeros at first; uint16 for shares (`band.share_unit`). Raises UsageError where a window is
    larger than `x`.
    """
    shape = x.shape[1:]
    plan = plan_windows(shape, window, overlap)
    if plan.shape != shape or into.shape[1:] != shape:
        raise UsageError(f"windows of {plan.window} over {shape} into {into.shape[1:]}", hint="pad the array first")
    whole = Whole(plan, shape, "gaussian", into)
    with progress.task("windows", total=len(plan)) as task:
        for place in plan:
            cells = tuple(slice(start, start + wide) for start, wide in zip(place, plan.window, strict=True))
            for rows, answer in fn(x[(slice(None), *cells)][None]):  # -> 1 C *window -> K r *rest
                whole.add_rows(place, rows, answer)
            task.advance()


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

    `read(place)` gives C *cells; a thread of its own calls it, one batch ahead of `fn`. `write(place, K *cells)`
    receives every cell once, as soon as no window will touch it: from the first row on, and within a step of windows
    from the first column on. The values are only lent for the time of the call.
    """
    plan = plan_windows(shape, window, overlap)
    band = Band(plan, tuple(shape), blend, write)
    for lines, places, answers in _answers(read, plan, tuple(shape), fn, batch):
        band.move_to(lines)
        band.add(places, answers)
        del answers  # before the next ones are made
    band.finish()


def _answers(
    read: Read, plan: WindowPlan, shape: tuple[int, ...], fn: Function, batch: int
) -> Iterator[tuple[Place, Sequence[Place], Array]]:
    """First row and column, places and B K *window answers of every batch of windows; one batch is read ahead."""
    if batch < 1:
        raise UsageError(f"a batch of {batch} windows", hint="1 or more")
    groups = (
        (lines, _stack(read, plan, places, shape), places)
        for lines in itertools.product(*plan.starts[:2])
        for places in _batches(itertools.product(*((start,) for start in lines), *plan.starts[2:]), batch)
    )
    with closing(ahead(groups, 1)) as stacks:
        for lines, stack, places in stacks:
            answers = fn(stack)  # B C *window -> B K *window
            if answers.shape[0] != len(places) or answers.shape[2:] != stack.shape[2:]:
                fault = f"the function made {answers.shape} of {stack.shape}"
                raise UsageError(fault, hint="it must keep batch and window")
            yield lines, places, answers
            del answers, stack


def largest(values: Array) -> NDArray[np.integer[Any]]:
    """Index of the largest of K *cells, the first of equals. Unlike `argmax(0)` it makes no copy of `values`."""
    best = values[0].copy()
    index = np.zeros(best.shape, np.min_scalar_type(len(values) - 1))
    for number in range(1, len(values)):
        better = values[number] > best
        np.copyto(best, values[number], where=better)
        index[better] = number
    return index


def _stack(read: Read, plan: WindowPlan, places: Sequence[Place], shape: tuple[int, ...]) -> Array:
    return np.stack([_window(read, place, plan.window, shape) for place in places])  # B C *window


def _window(read: Read, place: Place, window: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    where = tuple(slice(s, min(s + w, n)) for s, w, n in zip(place, window, shape, strict=True))
    cells = read(where)
    short = [(0, w - n) for w, n in zip(window, cells.shape[1:], strict=True)]
    return np.pad(cells, [(0, 0), *short], mode="edge") if any(after for _, after in short) else cells


def _batches(places: Iterator[Place], size: int) -> Iterator[list[Place]]:
    while group := list(itertools.islice(places, size)):
        yield group
