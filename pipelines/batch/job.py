"""A batch job as data: what `job_file.read_job` makes of a TOML file. Durations are seconds, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vitapps.options import NO_REDUCTION, EngineName, Precision, RunOptions
from vitapps.pipelines.batch import quantities
from vitapps.pipelines.batch.quantities import DayWindow, Share
from vitapps.pipelines.batch.task import Task, TaskSpec, find_task

OnError = Literal["continue", "stop"]
EngineKind = Literal["local", "ray"]


_DURATION, _SIZE, _WINDOW, _SHARE, _PART = (
    {"read": reader}
    for reader in (quantities.duration, quantities.size, quantities.day_window, quantities.share, quantities.part)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Where inputs come from; several sources add up. `glob` patterns know `**`; `list_file` names one path a line.

    `watch` is a folder that is looked at every `poll` seconds until the run ends; a file in it counts once size and
    mtime have stayed the same for `settle` seconds. `url` are fsspec patterns (`s3://bucket/*.tif`). `base` is what
    `{parent}` in the layout is relative to. `identity = "content"` hashes every input on every run.
    """

    glob: tuple[str, ...] = ()
    list_file: Path | None = None
    watch: Path | None = None
    pattern: str = "*"
    settle: float = field(default=10.0, metadata=_DURATION)
    poll: float = field(default=2.0, metadata=_DURATION)
    url: tuple[str, ...] = ()
    base: Path | None = None
    identity: Literal["stat", "content"] = "stat"


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Which inputs count. `newer_than` and `older_than` are ages or dates of the last change; sizes are inclusive."""

    newer_than: Any = None
    older_than: Any = None
    min_size: int | None = field(default=None, metadata=_SIZE)
    max_size: int | None = field(default=None, metadata=_SIZE)
    modality: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """`layout` is below `folder`; it knows {parent} {stem} {name} {suffix} {step} {ext}, `ext` being the task's own."""

    folder: Path
    layout: str = "{parent}/{stem}{ext}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """`workers` 0: as many as cores. `share_networks`: one copy of the networks for all workers, which computes their
    windows together; unset, on a GPU. `memory` is the resident ceiling of one worker. `timeout` is for one
    item, model loading excluded. `window` is when the job may work, local time. More than `max_failed` failures make
    the exit code 6. `drain` is how long items in flight may go on after SIGTERM. `gpu_share` is the part of a GPU that
    an actor on Ray gets, 0..1: with 0.5 two share one."""

    workers: int = 0
    memory: int | None = field(default=None, metadata=_SIZE)
    timeout: float | None = field(default=3600.0, metadata=_DURATION)
    window: DayWindow | None = field(default=None, metadata=_WINDOW)
    max_failed: Share = field(default=Share(0), metadata=_SHARE)
    drain: float = field(default=30.0, metadata=_DURATION)
    share_networks: bool | None = None
    gpu_share: float = field(default=0.5, metadata=_PART)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Of faults that may pass (I/O, time), not of unreadable inputs; the delay in seconds doubles each time."""

    times: int = 2
    delay: float = field(default=1.0, metadata=_DURATION)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """The common options of the command line."""

    device: str = "auto"
    engine: EngineName = "auto"
    precision: Precision = "auto"
    threads: int = 0
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """`prometheus` is a file for node_exporter's textfile collector, rewritten as the job goes on."""

    prometheus: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One task over its inputs. `settings` is an instance of the task's `Settings`; `reduce`: as `--reduce`."""

    name: str
    task: str
    inputs: Inputs
    output: Output
    filters: Filters = field(default_factory=Filters)
    weights: str | None = None
    reduce: str = NO_REDUCTION
    settings: Any = None

    @property
    def task_class(self) -> type[Task]:
        """Imports the task's module."""
        return find_task(self.task)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A whole job file. `state` is the folder of journal, lock and report."""

    path: Path
    name: str
    steps: tuple[Step, ...]
    state: Path
    on_error: OnError = "continue"
    limits: Limits = field(default_factory=Limits)
    retry: Retry = field(default_factory=Retry)
    compute: Compute = field(default_factory=Compute)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def journal_path(self) -> Path:
        return self.state / "journal.sqlite"

    @property
    def report_path(self) -> Path:
        return self.state / "report.html"

    def spec(self, step: Step) -> TaskSpec:
        """What the task of `step` is loaded with. Outputs are replaced: the driver has checked whose they are."""
        chosen = self.compute
        options = RunOptions(
            device=chosen.device, engine=chosen.engine, precision=chosen.precision, threads=chosen.threads,
            seed=chosen.seed, reduce=step.reduce, overwrite=True,
        )  # fmt: skip
        return TaskSpec(weights=step.weights, options=options, settings=step.settings)
