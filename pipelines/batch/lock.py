"""One run of a job at a time. The lock is an SQLite transaction that is never committed: the operating system gives it
back when the process dies, whatever kills it, and it works on every system that the journal works on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitapps.errors import OutputError
from vitapps.pipelines.batch.journal import host


@contextmanager
def job_lock(state: Path) -> Iterator[None]:
    """Hold the lock of the job; raises OutputError at once when another run holds it."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        holder = sqlite3.connect(state / "lock.sqlite", timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"{state}: {error}", hint='set state = "..." in the job file to a writable folder') from error
    try:
        try:
            holder.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise OutputError(f"{state}: {error}", hint="check the folder and its disk") from error
            raise OutputError(
                f"this job is running already ({_holder(state)})",
                hint="`vitapps batch status --follow` watches it, `vitapps batch cancel` ends it",
            ) from None
        (state / "holder").write_text(f"process {os.getpid()} on {host()}")
        yield
    finally:
        holder.close()


def is_locked(state: Path) -> bool:
    """Whether a run holds the lock now."""
    if not (state / "lock.sqlite").exists():
        return False
    try:
        with job_lock_probe(state):
            return False
    except sqlite3.OperationalError:
        return True


@contextmanager
def job_lock_probe(state: Path) -> Iterator[None]:
    probe = sqlite3.connect(state / "lock.sqlite", timeout=0, isolation_level=None)
    try:
        probe.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        probe.close()


def _holder(state: Path) -> str:
    try:
        return (state / "holder").read_text()
    except OSError:
        return "by another process"
