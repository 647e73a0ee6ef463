"""`vitapps bench all`: every bench command and the table of quantization methods, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vitapps.progress import Progress, null_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchOutcome:
    """What one command printed, its exit code and wall seconds; `error` the end of its stderr if it failed."""

    name: str
    exit_code: int
    seconds: float
    text: str
    error: str = ""


def bench_all(commands: Sequence[Sequence[str]], *, progress: Progress = null_progress) -> list[BenchOutcome]:
    """Run `vitapps WORDS` for each element; one that fails does not stop the others. An outcome's `name` is its first
    two words."""
    code = "import sys; from vitapps.apps.main import main; raise SystemExit(main(sys.argv[1:]))"
    outcomes = []
    with progress.task("benches", total=len(commands)) as task:
        for words in commands:
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=False
            )
            outcomes.append(BenchOutcome(
                name=" ".join(words[:2]), exit_code=done.returncode, seconds=time.perf_counter() - start,
                text=done.stdout, error=done.stderr.strip()[-2000:] if done.returncode else "",
            ))  # fmt: skip
            task.advance()
    return outcomes
