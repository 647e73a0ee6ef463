"""Windows read, computed and handed on one after the other: for arrays that do not fit in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.pipelines.windows.blend import Blend, class_index
from vitapps.pipelines.windows.front import Front
from vitapps.pipelines.windows.plan import Box, Index, WindowPlan
from vitapps.progress import Progress, null_progress

Array = NDArray[Any]
Function = Callable[[Array], Array]
Read = Callable[[Box], Array]
Write = Callable[[Box, Array], None]
Out = Literal["accumulate", "argmax"]
Item = TypeVar("Item")


def stream_apply(
    read: Read,
    write: Write,
    fn: Function,
    plan: WindowPlan,
    *,
    blend: Blend = "gaussian",
    out: Out = "accumulate",
    batch: int = 1,
    progress: Progress = null_progress,
) -> None:
    """Apply `fn` (B C *window -> B K *window) to every window of `plan`; memory is the front of windows.

    `read(box)` gives the C *cells of a box; it runs in one thread of its own, one batch ahead of `fn`. `write(box,
    values)` receives every box of the output once, as soon as no further window touches it: K *cells, or with `argmax`
    the class index of every element. Boxes come in the plan's order and do not overlap. Blends: see `tile_apply`.
    """
    front = Front(plan, blend)
    with closing(read_ahead(read_batches(read, plan, batch))) as batches:
        for index, final in finals(batches, fn, plan, front, progress):
            box, values = crop(front.box(index), final, plan.size)
            if out == "argmax":
                write(box, class_index(values))
                front.release(final)
            else:
                write(box, values.astype(np.result_type(values.dtype, np.float32), copy=False))


def finals(
    batches: Iterator[tuple[list[Index], Array]], fn: Function, plan: WindowPlan, front: Front, progress: Progress
) -> Iterator[tuple[Index, Array]]:
    """Index and K *cell means of every cell, as soon as it is final. Raises UsageError when `fn` changes shapes."""
    with progress.task("windows", total=len(plan)) as task:
        for group, stack in batches:
            answers = np.asarray(fn(stack))  # B C *window -> B K *window
            if answers.shape[:1] != stack.shape[:1] or answers.shape[2:] != plan.window:
                raise UsageError(f"the function made {answers.shape} of {stack.shape}", hint="keep B and *window")
            for index, answer in zip(group, answers, strict=True):
                yield index, front.add(index, answer)
                task.advance()
            del answers, answer  # before the next ones are made


def crop(box: Box, values: Array, size: tuple[int, ...]) -> tuple[Box, Array]:
    """Cut the padding off a cell: `values` has one axis more than `box`, in front."""
    cut = tuple(slice(part.start, min(part.stop, n)) for part, n in zip(box, size, strict=True))
    return cut, values[(slice(None), *(slice(0, part.stop - part.start) for part in cut))]


def read_batches(read: Read, plan: WindowPlan, batch: int) -> Iterator[tuple[list[Index], Array]]:
    """Groups of window indices with their stacked contents, B C *window."""
    if batch < 1:
        raise UsageError(f"a batch of {batch} windows", hint="1 or more")
    windows = iter(plan)
    while group := list(itertools.islice(windows, batch)):
        yield group, np.stack([_padded(read(plan.box(index)), plan.window) for index in group])


def read_ahead(items: Iterator[Item]) -> Generator[Item]:
    """The same items, each made in a thread while the one before it is in use. Errors of the maker are raised here."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="windows") as pool:
        pending = pool.submit(next, items, end)
        while (item := pending.result()) is not end:
            pending = pool.submit(next, items, end)
            yield item  # type: ignore[misc]


def _padded(cells: Array, window: tuple[int, ...]) -> Array:
    """C *cells repeated at its end up to the window."""
    short = [(0, w - n) for w, n in zip(window, cells.shape[1:], strict=True)]
    return np.pad(cells, [(0, 0), *short], mode="edge") if any(after for _, after in short) else cells
