"""One work in a worker: read, let the task do it, look at what it wrote. Any exception becomes a fault."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from vitapps.pipelines.batch.faults import Fault, fault_of
from vitapps.pipelines.batch.identity import FileId, read_of, stat_of
from vitapps.pipelines.batch.remote import is_url, local_copy
from vitapps.pipelines.batch.task import Item, Task
from vitapps.pipelines.batch.work import Done, Work

log = logging.getLogger("vitapps.batch")


def handle(task: Task, work: Work, identify: Callable[[], FileId] | None = None) -> Done:
    """Do `work`; `identify` gives the hashed identity of the input if someone has read ahead."""
    start, cpu = time.monotonic(), time.process_time()
    try:
        done = _remote(task, work) if is_url(work.key) else _local(task, work, Path(work.key), identify)
    except Exception as error:
        log.debug("%s", work.key, exc_info=True)
        done = Done(work.id, fault_of(error, None if is_url(work.key) else Path(work.key)))
    spent, cpu_spent = time.monotonic() - start, time.process_time() - cpu
    return Done(
        work.id, done.fault, done.source, done.outputs, done.preview, done.summary, done.warnings, round(spent, 6),
        round(cpu_spent, 6), os.getpid(),
    )  # fmt: skip


def _local(task: Task, work: Work, path: Path, identify: Callable[[], FileId] | None) -> Done:
    source = identify() if identify else read_of(path)
    work.out.parent.mkdir(parents=True, exist_ok=True)
    result = task(Item(input=path, out=work.out, command=work.command))
    if not stat_of(path).same_stat(source):
        return Done(work.id, Fault("changed", f"{path}: was changed while it was read", "is it still being copied?"))
    outputs = tuple(read_of(output) for output in result.outputs)
    preview = str(result.preview) if result.preview else ""
    return Done(work.id, None, source, outputs, preview, dict(result.summary), tuple(result.warnings))


def _remote(task: Task, work: Work) -> Done:
    with local_copy(work.key) as (path, source):
        done = _local(task, work, path, None)
    found = done.source
    return Done(
        work.id, done.fault, None if found is None else FileId(work.key, source.size, source.mtime_ns, found.sha256),
        done.outputs, done.preview, done.summary, done.warnings,
    )  # fmt: skip
