"""`vitapps batch run`: every step of a job, each input once, under the job's lock."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vitapps import __version__
from vitapps.errors import ExitCode, OutputError, UsageError, VitappsError
from vitapps.pipelines.batch.events import Counts, Events, Listener, Prometheus
from vitapps.pipelines.batch.job import EngineKind, Job
from vitapps.pipelines.batch.journal import Journal, host
from vitapps.pipelines.batch.local import LocalEngine
from vitapps.pipelines.batch.lock import job_lock
from vitapps.pipelines.batch.plan import Choices, Planner
from vitapps.pipelines.batch.signals import draining
from vitapps.pipelines.batch.step import Ending, StepRun, exit_code
from vitapps.pipelines.batch.task import Task, TaskSpec, find_task
from vitapps.pipelines.batch.work import Engine
from vitapps.pipelines.runtime.devices import cpu_name, cuda_devices
from vitapps.shared_backbones.engines.machine import usable_cores


@dataclass(frozen=True, kw_only=True, slots=True)
class RunChoices:
    """What the command line adds to a job file. `address` is of a Ray cluster; `steps` empty means all."""

    overwrite: bool = False
    shard: tuple[int, int] | None = None
    engine: EngineKind = "local"
    address: str = ""
    steps: tuple[str, ...] = ()
    command: str = "vitapps batch run"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """How a run ended. `reason` is done, failed, interrupted, cancelled, paused (time window) or stopped."""

    run: int
    reason: str
    exit_code: ExitCode
    counts: Counts
    steps: dict[str, Counts] = field(default_factory=dict)
    seconds: float = 0.0
    journal: Path = Path()
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready mapping."""
        return {
            "run": self.run, "reason": self.reason, "exit_code": int(self.exit_code), "seconds": self.seconds,
            "journal": str(self.journal), "counts": self.counts.as_dict(),
            "steps": {name: counts.as_dict() for name, counts in self.steps.items()},
            **({"error": self.error, "hint": self.hint} if self.error else {}),
        }  # fmt: skip


def run_job(job: Job, choices: RunChoices, listeners: Sequence[Listener] = ()) -> RunResult:
    """Run the job. Raises OutputError when it runs already; faults of items are counted, not raised."""
    unknown = set(choices.steps) - {step.name for step in job.steps}
    if unknown:
        names = ", ".join(step.name for step in job.steps)
        raise UsageError(f"--step {sorted(unknown)[0]}: no such step", hint=f"there are: {names}")
    events = Events(list(listeners))
    if job.metrics.prometheus is not None:
        events.listeners.append(Prometheus(job.metrics.prometheus, job.name))
    with job_lock(job.state):
        journal = Journal(job.journal_path)
        try:
            return _run(job, choices, journal, events)
        finally:
            journal.close()


def _run(job: Job, choices: RunChoices, journal: Journal, events: Events) -> RunResult:
    start = time.monotonic()
    run = journal.begin(choices.command, machine(choices))
    total, steps, ending = Counts(), dict[str, Counts](), Ending()
    events.emit("run_started", total, run=run, job=job.name)
    plan = Choices(overwrite=choices.overwrite, shard=choices.shard)
    reason = "crashed"
    try:
        with draining() as drain:
            for step in job.steps:
                if choices.steps and step.name not in choices.steps:
                    continue
                _check_writable(step.output.folder)
                one = StepRun(
                    job=job, planner=Planner(job, step, journal, plan), journal=journal, events=events, drain=drain,
                    make_engine=partial(make_engine, job, step.task, job.spec(step), choices),
                )  # fmt: skip
                steps[step.name], ending = one.run(), one.ending
                total.add(one.counts)
                if ending.reason:
                    break
        code = exit_code(total, job, ending)
        reason = ending.reason or ("failed" if code else "done")
        journal.forget_workers()
    except VitappsError as error:
        reason, code, ending = "stopped", error.exit_code, Ending("stopped", error)
    except KeyboardInterrupt:
        reason, code = "interrupted", ExitCode.INTERRUPTED
    finally:
        journal.end(reason, total.as_dict())
    seconds = round(time.monotonic() - start, 3)
    events.emit("run_ended", total, run=run, reason=reason, exit_code=int(code), seconds=seconds)
    return RunResult(
        run=run, reason=reason, exit_code=code, counts=total, steps=steps, seconds=seconds, journal=job.journal_path,
        error=ending.error.message if ending.error else "", hint=ending.error.hint if ending.error else "",
    )  # fmt: skip


def make_engine(job: Job, task: str, spec: TaskSpec, choices: RunChoices, workers: int = 0) -> Engine:
    """The engine of a step; `workers` 0 as the job says. Cores are shared out between workers."""
    from dataclasses import replace

    limits = job.limits
    if choices.engine == "ray":
        from vitapps.pipelines.batch.ray_engine import RayEngine

        spec = replace(spec, options=replace(spec.options, threads=spec.options.threads or 1))
        return RayEngine(
            task, spec, workers=workers or limits.workers, address=choices.address, timeout=limits.timeout,
            memory=limits.memory, gpu_share=limits.gpu_share,
        )  # fmt: skip
    count = workers or limits.workers or usable_cores()
    shared = shares_networks(job, find_task(task), spec, count)
    threads = spec.options.threads or max(1, usable_cores() // count)
    return LocalEngine(
        task, replace(spec, options=replace(spec.options, threads=threads)), workers=count, timeout=limits.timeout,
        memory=limits.memory, shared_threads=threads * count if shared else 0,
    )  # fmt: skip


def shares_networks(job: Job, task: type[Task], spec: TaskSpec, workers: int) -> bool:
    """Whether `workers` workers share their networks: as the job says, else on a GPU, whose memory holds one copy.

    On a CPU each has its own by default: a little less work (docs/scaling.md), and nothing that all depend on.
    """
    if sys.platform != "linux" or workers == 1 or (task.default_weights is None and spec.weights is None):
        return False
    on_gpu = spec.options.device.startswith("cuda") or (spec.options.device == "auto" and bool(cuda_devices()))
    return on_gpu if job.limits.share_networks is None else job.limits.share_networks


def machine(choices: RunChoices) -> dict[str, Any]:
    """What the report says about where a run took place."""
    return {
        "host": host(), "cpu": cpu_name(), "cores": usable_cores(), "engine": choices.engine, "vitapps": __version__,
        "gpus": [device.name for device in cuda_devices()],
    }  # fmt: skip


def _check_writable(folder: Path) -> None:
    """Fail before the first item is touched. Raises OutputError."""
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"{folder}: {error.strerror or error}", hint="give an output.folder that you may write to"
        ) from error
