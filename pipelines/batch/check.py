"""`vitapps batch check`: the plan of a job, read only. `vitapps batch init`: a job file to start from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.atomic import write_text
from vitapps.errors import MissingError
from vitapps.pipelines.batch.job import Job
from vitapps.pipelines.batch.journal import Journal
from vitapps.pipelines.batch.plan import Choices, Planner
from vitapps.pipelines.batch.task import find_task
from vitapps.shared_backbones.engines.machine import usable_cores

_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class StepCheck:
    """What one step would do. `expected_seconds` is wall time from past runs, None without any."""

    step: str
    task: str
    inputs: int
    todo: int
    skipped: int
    quarantined: int
    filtered: int
    foreign: tuple[str, ...]
    bytes: int
    weights: dict[str, str]
    workers: int
    expected_seconds: float | None
    first: tuple[tuple[str, str], ...]  # input, output
    missing: str = ""  # why the step cannot run


def check_job(job: Job) -> list[StepCheck]:
    """Plan every step; nothing is written, no model is loaded."""
    journal = Journal(job.journal_path, read_only=True) if job.journal_path.exists() else None
    try:
        return [_check(job, index, journal) for index in range(len(job.steps))]
    finally:
        if journal is not None:
            journal.close()


def _check(job: Job, index: int, journal: Journal | None) -> StepCheck:
    step = job.steps[index]
    workers = job.limits.workers or usable_cores()
    try:
        plan = Planner(job, step, journal, Choices()).all()
    except MissingError as error:
        return StepCheck(
            step=step.name, task=step.task, inputs=0, todo=0, skipped=0, quarantined=0, filtered=0, foreign=(),
            bytes=0, weights={}, workers=workers, expected_seconds=None, first=(), missing=str(error),
        )  # fmt: skip
    expected = plan.expected_seconds
    return StepCheck(
        step=step.name, task=step.task, inputs=plan.total, todo=len(plan.todo), skipped=plan.skipped,
        quarantined=len(plan.quarantined), filtered=plan.filtered,
        foreign=tuple(str(work.out) for work in plan.foreign[:_SHOWN]), bytes=plan.bytes, weights=plan.weights,
        workers=workers, expected_seconds=None if expected is None else expected / workers,
        first=tuple((work.key, str(work.out)) for work in plan.todo[:_SHOWN]),
    )  # fmt: skip


def write_template(task_name: str, path: Path, *, overwrite: bool = False) -> Path:
    """Write a commented job file for a task. Raises UsageError for an unknown task, OutputError for `path`."""
    task = find_task(task_name)
    options = [f"# {field.name} = {_value(field)}" for field in dataclasses.fields(task.Settings)]
    patterns = ", ".join(f'"inputs/{pattern}"' for pattern in task.patterns)
    values = {
        "task": task_name, "name": task_name.replace(":", "."), "summary": task.summary, "patterns": patterns,
        "options": "\n".join(options), "file": path.name, "layout": '"{parent}/{stem}{ext}"',
    }  # fmt: skip
    text = _TEMPLATE.format_map(values)
    write_text(path, text, overwrite=overwrite)
    return path


def _value(field: dataclasses.Field[Any]) -> str:
    default = field.default
    if default is True or default is False:
        return str(default).lower()
    if default in (None, ()) or default is dataclasses.MISSING:
        return f"...    # {str(field.type).removesuffix(' | None')}"
    return f'"{default}"' if isinstance(default, str) else str(default)


_TEMPLATE = """\
# A batch job: {summary}.
#   vitapps batch check {file}    prints the plan and touches nothing
#   vitapps batch run {file}      does what is not done yet; run it as often as you like
# Paths are relative to this file. Keys with a # before them show their default, or ... where there is none.

# on_error = "continue"       # or "stop": at the first failure above limits.max_failed
# state = "NAME.batch"        # folder of journal and report; beside this file by default

[inputs]
glob = [{patterns}]
# list_file = "inputs.txt"    # one path or URL a line
# watch = "incoming"          # look at this folder until the run ends; pattern, settle and poll belong to it
# url = "s3://bucket/*.tif"   # through fsspec
# base = "inputs"             # what {{parent}} is relative to; by default the part of the pattern without wildcards
# identity = "stat"           # or "content": hash every input on every run

[output]
folder = "outputs"
# layout = {layout}    # also {{name}} {{suffix}} {{step}}

[filters]
# newer_than = "1 day"        # or a date: 2026-01-31; also older_than
# min_size = "1 kB"
# max_size = "4 GB"
# modality = ["MR"]           # DICOM
# exclude = ["*_mask.tif"]

[limits]
# workers = 0                 # 0: one a core
# share_networks = true       # one copy for all workers, their windows computed together; by default on a GPU
# memory = "4 GB"             # of one worker; beyond it the item is tried again alone, then put aside
# timeout = "1 h"             # of one item
# window = "22:00-06:00"      # local time; the run pauses outside (exit code 0) and goes on when started again
# max_failed = 0              # or "2%": more failures make the exit code 6
# drain = "30 s"              # how long items in flight may go on after SIGTERM
# gpu_share = 0.5             # of a GPU for an actor, with --engine ray

[retry]
# times = 2                   # for faults that may pass: I/O, time, a worker that died
# delay = "1 s"               # doubles each time

[compute]
# device = "auto"
# engine = "auto"
# precision = "auto"
# threads = 0                 # of one worker; 0: the cores shared out
# seed = 0

[metrics]
# prometheus = "/var/lib/node_exporter/textfile/NAME.prom"

[[step]]
task = "{task}"
# name = "{name}"
# weights = ...               # a card name, or a path
# reduce = "none"             # fewer tokens in the network's ViT, such as tome:r=13
# [step.inputs], [step.output] and [step.filters] replace the tables above for this step

[step.options]
{options}
"""
