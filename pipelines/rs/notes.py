"""Warnings of a run, collected for its record; runs in other threads have their own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# the run that this thread works for; a thread that a run starts gets a copy of its context
_CURRENT: ContextVar[list[str] | None] = ContextVar("notes", default=None)


class _Notes(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        if _CURRENT.get() is self.notes:
            self.notes.append(record.getMessage())


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Copy what the library warns of within the block into `notes`."""
    handler, logger = _Notes(notes), logging.getLogger("vitapps")
    logger.addHandler(handler)
    token = _CURRENT.set(notes)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        logger.removeHandler(handler)
