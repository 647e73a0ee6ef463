"""The terminal: results on stdout, progress and log on stderr, JSON that every parser reads."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vitapps.jsonable import json_text, shown
from vitapps.progress import Progress, Task, null_progress

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars

_HANDLER = "vitapps-terminal"


def write_lines(lines: Iterable[str]) -> None:
    """Print to stdout; a reader that went away (`| head`) is no error: the work is done and its files are written."""
    try:
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()


def write_json(result: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout. Strict JSON: NaN and infinities become null."""
    write_lines([json_text(result).rstrip("\n")])


def close_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's flush at exit meets no closed pipe."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def printable(text: object) -> str:
    """`text` on one line: control characters escaped, bytes of a non-UTF-8 file name shown as `\\xNN`."""
    letters = shown(str(text))
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in letters)


def columns(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table as lines of left-aligned columns, readable in a pipe and by `cut`."""
    table = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def configure_logging(*, verbose: bool = False, quiet: bool = False) -> None:
    """Send the `vitapps` logger, and no other, to stderr: warnings by default, all with verbose, errors with quiet."""
    logger = logging.getLogger("vitapps")
    for handler in [item for item in logger.handlers if item.get_name() == _HANDLER]:
        logger.removeHandler(handler)  # a second call in one process must not double the lines
    handler = _StderrHandler()
    handler.set_name(_HANDLER)
    handler.setFormatter(_LevelFormatter("vitapps: %(levelname)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.WARNING)


class _LevelFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace(record.levelname, record.levelname.lower(), 1)


class _StderrHandler(logging.Handler):
    """Writes to the stderr of the moment: a running progress bar replaces it, and so do tests."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def terminal_progress(*, quiet: bool) -> Progress:
    """Progress bars on stderr if that is a terminal, else nothing."""
    return null_progress if quiet or not sys.stderr.isatty() else _BarProgress()


class _BarProgress:
    """One bar a task; a task opened within another gets a line below it."""

    def __init__(self) -> None:
        self._bars: RichBars | None = None

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Task]:
        bars, outer = self._bars or _new_bars(), self._bars is None
        self._bars = bars
        if outer:
            bars.start()
        bar = bars.add_task(description, total=total)
        try:
            yield _BarTask(bars, bar)
        finally:
            bars.remove_task(bar)
            if outer:
                bars.stop()
                self._bars = None


class _BarTask:
    def __init__(self, bars: RichBars, bar: Any) -> None:
        self._bars, self._bar = bars, bar

    def advance(self, steps: float = 1.0) -> None:
        self._bars.advance(self._bar, steps)


def _new_bars() -> RichBars:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    parts = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*parts, console=Console(stderr=True), transient=True)
