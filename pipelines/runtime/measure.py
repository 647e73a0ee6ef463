"""Measuring fairly on a machine that does other things as well: CPU time, interleaved rounds, own processes."""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import VitappsError

RESULT = "vitapps-measured "


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildResult:
    """What a child process returned; `peak` bytes of resident memory at most, `cpu_s` user and system seconds of all of
    it, `wall_s` from start to end."""

    value: Any
    peak: int
    cpu_s: float
    wall_s: float


def cpu_seconds(call: Callable[[], Any]) -> float:
    """CPU time of this process, all threads, for one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def interleaved(
    calls: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[Callable[[], Any]], float] = cpu_seconds,
    *, warm: bool = True, patience: float = math.inf,
) -> dict[str, list[float]]:  # fmt: skip
    """What `clock` says of each call: A B C A B C, after one round that is not counted where `warm`. Fewer than
    `rounds`, but one at least, once those that count have taken `patience` wall seconds a call.

    What else runs on the machine slows neighbours in a round alike, so ratios hold where wall times would not.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for number in range(0 if warm else 1, rounds + 1):
        for name, call in calls.items():
            taken = clock(call)
            if number:
                seconds[name].append(taken)
        if not number:
            start = time.perf_counter()
        elif time.perf_counter() - start > patience * len(calls):
            break
    return seconds


def in_child(function: str, /, **arguments: Any) -> ChildResult:
    """Call `module:function` with JSON arguments in a fresh process. Raises VitappsError when it fails."""
    code = "from vitapps.pipelines.runtime.measure import child_main; child_main()"
    return _finished([sys.executable, "-P", "-c", code, function, json.dumps(arguments)], function)


def _finished(command: list[str], name: str) -> ChildResult:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT)]
    if done.returncode or not lines:
        raise failure(name, done.stderr, done.returncode)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = json.loads(lines[-1].removeprefix(RESULT))
    return ChildResult(value=told["value"], peak=told["peak"], cpu_s=cpu, wall_s=wall)


def failure(name: str, errors: str, exit_code: int) -> VitappsError:
    """What to raise of a child process, by the last words on its stderr."""
    said = [line for line in errors.strip().splitlines() if not line.startswith("hint:")]
    return VitappsError(f"{name} failed: {said[-1] if said else f'exit code {exit_code}'}")


def child_main() -> None:
    """Entry of the child process: argv is `module:function` and its arguments as JSON."""
    module, _, name = sys.argv[1].partition(":")
    value = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    report(value)


def report(value: Any) -> None:
    """The last words of a child process: its result and its peak memory."""
    sys.stdout.write(f"\n{RESULT}{json.dumps({'value': value, 'peak': peak_memory()})}\n")


def peak_memory() -> int:
    """Bytes of the largest resident memory of this process; not of the process that started it, which getrusage
    would include on Linux."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def cache_at(folder: Path) -> Iterator[None]:
    """Use `folder` as the cache of this process and its children, so that a measurement leaves the user's alone."""
    before = os.environ.get("VITAPPS_CACHE")
    os.environ["VITAPPS_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["VITAPPS_CACHE"]
        else:
            os.environ["VITAPPS_CACHE"] = before


def command_in_child(words: list[str]) -> ChildResult:
    """Run `vitapps WORDS` as a process of its own; VitappsError unless it ends with 0."""
    code = (
        "import sys\n"
        "from vitapps.apps.main import main\n"
        "code = main(sys.argv[1:])\n"
        "from vitapps.pipelines.runtime.measure import report\n"
        "report(None)\n"
        "raise SystemExit(code)\n"
    )
    return _finished([sys.executable, "-P", "-c", code, *words], f"vitapps {' '.join(words[:2])}")
