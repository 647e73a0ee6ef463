"""Warnings of a run, collected for its record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Notes(logging.Handler):
    def __init__(self, notes: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        self.notes.append(record.getMessage())


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Copy what the library warns of within the block into `notes`."""
    handler, logger = _Notes(notes), logging.getLogger("vitapps")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
