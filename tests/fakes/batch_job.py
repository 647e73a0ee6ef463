"""Job folders with text inputs for the fake task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fakes.batch_task import NAME
from vitapps.pipelines.batch.events import Listener
from vitapps.pipelines.batch.job_file import read_job
from vitapps.pipelines.batch.run import RunChoices, RunResult, run_job

TESTS = Path(__file__).resolve().parents[1]


def make_job(folder: Path, texts: dict[str, str], *, options: str = "", extra: str = "", workers: int = 1) -> Path:
    """A job over `texts` (name -> content); the first four keys of the file are the fixture's, `extra` is TOML."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / "in" / name).write_text(text)
    path = folder / "job.toml"
    path.write_text(
        f'[inputs]\nglob = "in/*.txt"\n[output]\nfolder = "out"\n{extra}\n'
        + ("" if "[limits]" in extra else f"[limits]\nworkers = {workers}\n")
        + ("" if "[retry]" in extra else "[retry]\ndelay = 0.01\n")
        + f'[[step]]\nname = "shout"\ntask = "{NAME}"\n[step.options]\nledger = "ledger"\n{options}\n'
    )
    return path


def run(job: Path, *listeners: Listener, **choices: Any) -> RunResult:
    """Run in this process (workers are processes of their own)."""
    return run_job(read_job(job), RunChoices(**choices), listeners)


def outputs(folder: Path) -> dict[str, str]:
    """Name -> content of everything below `out`."""
    return {str(path.relative_to(folder / "out")): path.read_text()
            for path in sorted((folder / "out").rglob("*")) if path.is_file()}  # fmt: skip


def handled(folder: Path) -> list[str]:
    """Names of the inputs in the order in which they were taken up, over all runs."""
    ledger = folder / "ledger"
    return ledger.read_text().splitlines() if ledger.exists() else []


def start(*words: object) -> subprocess.Popen[str]:
    """`vitapps batch …` as a process."""
    code = "import sys; from vitapps.apps.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, "batch", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(TESTS)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
