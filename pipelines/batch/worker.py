"""A worker process of the local engine: loads the task once, then handles what comes through its pipe, in order.

It is a plain `python -c`, not a process of `multiprocessing`, which would run the caller's main module again.

While one item is computed the next is read and hashed by a thread, so that its bytes lie in the page cache when their
turn comes. A worker dies with its driver, whatever ends that.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vitapps.errors import VitappsError
from vitapps.pipelines.batch.faults import fault_of
from vitapps.pipelines.batch.handle import handle
from vitapps.pipelines.batch.identity import FileId, read_of
from vitapps.pipelines.batch.remote import is_url
from vitapps.pipelines.batch.task import TaskSpec, find_task
from vitapps.pipelines.batch.work import Work

READY = "ready"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_READ_AHEAD = 1 << 18  # bytes; a smaller file is read sooner than a thread is woken


def start_worker(task: str, spec: TaskSpec) -> tuple[subprocess.Popen[bytes], Connection]:
    """A new worker process, which loads `task`, and our end of its pipe."""
    link, other = multiprocessing.Pipe()
    code = f"from vitapps.pipelines.batch.worker import main; main({other.fileno()}, {os.getpid()})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], pass_fds=[other.fileno()], stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is for the driver, which drains
    )  # fmt: skip
    other.close()
    with suppress(OSError):  # it died at once: seen by whoever reads the link
        link.send(sys.path)
        link.send((task, spec))
    return process, link


def main(handle_number: int, parent: int) -> None:
    """The life of a worker. Sends READY, then a Done for each Work; a VitappsError when the task cannot load."""
    _die_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # systemd sends it to all processes of a unit; the driver drains
    link = Connection(handle_number)
    try:
        sys.path[:] = link.recv()
        task_name, spec = link.recv()
        task = find_task(task_name)(spec)
    except EOFError:
        return
    except Exception as error:  # told to the driver, which says it once
        link.send(error if isinstance(error, VitappsError) else VitappsError(fault_of(error).message))
        return
    link.send(READY)
    waiting: deque[tuple[Work, Callable[[], FileId] | None]] = deque()
    with ThreadPoolExecutor(1) as ahead:
        while True:
            try:
                while not waiting or link.poll():
                    work: Any = link.recv()
                    if work is None:
                        return
                    waiting.append((work, _reading(work, ahead) if waiting else None))
                work, identify = waiting.popleft()
                link.send(handle(task, work, identify))
            except (EOFError, BrokenPipeError):
                return  # the driver is gone


def _reading(work: Work, ahead: ThreadPoolExecutor) -> Callable[[], FileId] | None:
    path = Path(work.key)
    try:
        if is_url(work.key) or path.stat().st_size < _READ_AHEAD:
            return None
    except OSError:
        return None
    future: Future[FileId] = ahead.submit(read_of, path)
    return future.result


def _die_with(parent: int) -> None:
    """Linux: be killed when the driver dies, so that no orphan writes beside the next run."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
