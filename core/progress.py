"""Progress as a protocol passed down; only the command line knows how it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One running task."""

    def advance(self, steps: float = 1.0) -> None:
        """`steps` more of the total are done."""


class Progress(Protocol):
    """Opens tasks: `with progress.task("segmenting", total=8) as task: task.advance()`."""

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Task]:
        """A task of `total` steps (None: unknown)."""
        ...


class _NullTask:
    def advance(self, steps: float = 1.0) -> None:
        return None


class NullProgress:
    """Draws nothing: the default of every library function."""

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        yield _NullTask()


null_progress = NullProgress()
