"""Reading ahead: a thread makes the next items of an iterator while the caller works on the last one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Fault:
    error: BaseException


_END = object()


def ahead(
    items: Iterable[Item], depth: int, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Generator[Item, None, None]:
    """`items` in their order, up to `depth` made before they are wanted. What making one raises is raised here.

    The thread makes them within `around()` and a copy of the caller's context variables. It ends when the iterator is
    exhausted or closed: use `closing(ahead(…))`, because an exception in the caller's loop alone does not close it, and
    what the thread reads from would go away.
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def work() -> None:
        try:
            with around():
                for item in items:
                    if not _offer(ready, item, stop):
                        return
            _offer(ready, _END, stop)
        except BaseException as error:
            _offer(ready, _Fault(error), stop)

    thread = threading.Thread(target=copy_context().run, args=(work,), name="vitapps-reader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Fault):
                raise item.error
            yield item
    finally:
        stop.set()
        thread.join()


def _offer(ready: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
