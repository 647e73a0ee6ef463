"""Errors that a user can act on, and the exit code of each.

Every message says what is wrong, with which value, and `hint` says what to do next. The command line prints both on
one line each and exits with `exit_code`; library callers catch `VitappsError`.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes, stable across releases."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNREADABLE_INPUT = 3
    MISSING = 4
    OUTPUT = 5
    PARTIAL = 6
    OUT_OF_MEMORY = 7
    INTERRUPTED = 130


class VitappsError(Exception):
    """Base of every error meant for the user: `message` is one line, `hint` the next step."""

    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(VitappsError, ValueError):
    """An option or a combination of options makes no sense."""

    exit_code = ExitCode.USAGE


class UnreadableInputError(VitappsError):
    """An input file is missing, empty, truncated, of the wrong type or has no usable content."""

    exit_code = ExitCode.UNREADABLE_INPUT


class MissingError(VitappsError):
    """A dependency, a weight file or a card is missing or fails its checksum."""

    exit_code = ExitCode.MISSING


class OutputError(VitappsError):
    """The output exists already or cannot be written."""

    exit_code = ExitCode.OUTPUT


class PartialFailureError(VitappsError):
    """Some inputs of a batch failed; the others have their outputs."""

    exit_code = ExitCode.PARTIAL


class OutOfMemoryError(VitappsError, MemoryError):
    """The job does not fit in memory; the hint says which option makes it smaller."""

    exit_code = ExitCode.OUT_OF_MEMORY
