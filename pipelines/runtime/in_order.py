"""A function of many items, some of them at once in threads, the results in the order of the items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Sequence[Item], together: int) -> Iterator[Result]:
    """`function` of each item, `together` of them at a time while the caller is busy with earlier results; 1: each when
    its turn comes, in the caller's thread. What it raises is raised at its turn, and the items behind it are left."""
    if together == 1 or len(items) < 2:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(together, thread_name_prefix="vitapps-network")
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)
