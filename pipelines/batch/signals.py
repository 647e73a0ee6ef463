"""SIGTERM and SIGINT during a run: the first drains (what is in flight is finished), the second ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Draining:
    """`asked` counts the signals so far."""

    def __init__(self) -> None:
        self.asked = 0

    def __bool__(self) -> bool:
        return self.asked > 0

    def ask(self, number: int = 0, frame: FrameType | None = None) -> None:
        self.asked += 1
        if self.asked > 1:
            raise KeyboardInterrupt


@contextmanager
def draining() -> Iterator[Draining]:
    """Within the block signals set the flag; afterwards they mean what they meant before."""
    flag = Draining()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # signal handlers belong to the main thread
        return
    before = {number: signal.signal(number, flag.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
