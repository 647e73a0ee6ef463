"""A worker process of the local engine: loads the task once, then handles what comes through its pipe, in order.

While one item is computed the next is read and hashed by a thread, so that its bytes lie in the page cache when their
turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from vitapps.errors import VitappsError
from vitapps.pipelines.batch.faults import fault_of
from vitapps.pipelines.batch.handle import handle
from vitapps.pipelines.batch.identity import FileId, read_of
from vitapps.pipelines.batch.remote import is_url
from vitapps.pipelines.batch.task import Task, find_task
from vitapps.pipelines.batch.work import Work

READY = "ready"
_READ_AHEAD = 1 << 18  # bytes; a smaller file is read sooner than a thread is woken


def main(link: Connection) -> None:
    """The life of a worker. Takes (task, spec, address of a model server or None), sends READY, then a Done for each
    Work; a VitappsError when the task cannot load."""
    try:
        task = _loaded(*link.recv())
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


def _loaded(name: str, spec: Any, address: Any) -> Task:
    if address is not None:
        from vitapps.pipelines.batch.model_client import share_networks

        share_networks(address)
    return find_task(name)(spec)
