"""What went wrong with an item, sorted by what is to be done about it."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.errors import MissingError, OutOfMemoryError, OutputError, UnreadableInputError, UsageError, VitappsError

Kind = Literal[
    "unreadable", "usage", "vanished", "changed", "io", "timeout", "memory", "killed", "output", "disk", "missing",
    "unexpected",
]  # fmt: skip
PASSING: frozenset[Kind] = frozenset({"io", "timeout", "changed", "unexpected"})  # tried again after a delay
ALONE: frozenset[Kind] = frozenset({"memory", "killed"})  # tried again when nothing else runs
FATAL: frozenset[Kind] = frozenset({"disk", "missing"})  # every further item would fail alike: the run stops
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Fault:
    """One line, the next step, and the kind that decides between retry, quarantine and the end of the run."""

    kind: Kind
    message: str
    hint: str = ""


def fault_of(error: BaseException, source: Path | None = None) -> Fault:
    """Sort any exception that handling `source` raised."""
    chain = _chain(error)
    full = next((item for item in chain if isinstance(item, OSError) and item.errno in _DISK), None)
    message, hint = _words(error)
    if full is not None:
        return Fault("disk", message, hint or "free some space, then run the job again: it goes on where it stopped")
    if source is not None and not source.exists():
        return Fault("vanished", f"{source}: the input is gone", "it was there when the job was planned")
    return Fault(_kind(error), message, hint)


def _kind(error: BaseException) -> Kind:
    torch = sys.modules.get("torch")
    if isinstance(error, (OutOfMemoryError, MemoryError)):
        return "memory"
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "memory"
    if isinstance(error, RuntimeError) and "bad_alloc" in str(error):
        return "memory"
    if isinstance(error, OSError) and not isinstance(error, VitappsError):
        return "io"
    kinds: tuple[tuple[type[VitappsError], Kind], ...] = (
        (UsageError, "usage"), (UnreadableInputError, "unreadable"), (MissingError, "missing"), (OutputError, "output")
    )  # fmt: skip
    return next((kind for family, kind in kinds if isinstance(error, family)), "unexpected")


def _words(error: BaseException) -> tuple[str, str]:
    if isinstance(error, VitappsError):
        return error.message, error.hint
    if isinstance(error, OSError) and error.strerror:
        return f"{f'{error.filename}: ' if error.filename else ''}{error.strerror}", ""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}", "run the command with --verbose"


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
