"""What the driver hands to an engine and gets back, and what an engine is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vitapps.pipelines.batch.faults import Fault
from vitapps.pipelines.batch.identity import FileId


@dataclass(frozen=True, slots=True)
class Work:
    """One item on its way. `key` is a local path or a URL, as it stands in the journal."""

    id: int
    key: str
    out: Path
    command: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a work: outputs, or a fault. `seconds` are wall time, `cpu` CPU seconds of the worker."""

    id: int
    fault: Fault | None = None
    source: FileId | None = None
    outputs: tuple[FileId, ...] = ()
    preview: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    cpu: float = 0.0
    worker: int = 0


class Engine(Protocol):
    """Runs works of one task, several at a time, in any order."""

    def free(self) -> int:
        """How many works can be submitted now without waiting long: the back-pressure."""
        ...

    def submit(self, work: Work) -> None: ...

    def poll(self, timeout: float) -> list[Done]:
        """Finished works; waits up to `timeout` seconds for the first. Raises VitappsError when no worker can start."""
        ...

    def pids(self) -> list[int]:
        """Workers on this machine that were started since the last call."""
        ...

    def stop(self) -> None:
        """End all workers, at once: works in flight are given up."""
        ...
