"""`vitapps batch`: thousands of inputs by a job file, each done once, resumable, with a report."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitapps.apps.console import OverwriteOption, Talk, command, group
from vitapps.apps.terminal import columns, write_lines
from vitapps.errors import UsageError
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.batch.check import StepCheck
    from vitapps.pipelines.batch.events import Listener
    from vitapps.pipelines.batch.run import RunResult
    from vitapps.pipelines.batch.status import Status

app = group("Batch: thousands of inputs, each done once, resumable, with a report.")

JobArgument = Annotated[Path, typer.Argument(metavar="JOB", show_default=False, help="A job file (.toml).")]
StateArgument = Annotated[
    Path, typer.Argument(metavar="JOB", show_default=False, help="A job file, or the state folder of a job.")
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", show_default=False, help="Only every input whose hash is I of N, I from 1."),
]
StepsOption = Annotated[list[str] | None, typer.Option("--step", show_default=False, help="Only these steps.")]
EngineOption = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Worker processes here, or actors of a Ray cluster.")
]
AddressOption = Annotated[str, typer.Option("--address", help="Of the cluster: auto, ray://HOST:PORT, or local.")]
ProgressOption = Annotated[
    bool, typer.Option("--progress", help="Lines with rate and ETA on stderr, also where that is no terminal.")
]
LinesOption = Annotated[bool, typer.Option("--json-lines", help="Every event as a JSON object on a line of stdout.")]

StoreOption = Annotated[
    Path | None, typer.Option("--store", show_default=False, help="The SQLite file of the schedules.")
]


@command(app, "init")
def init(
    talk: Talk,
    task: Annotated[str, typer.Argument(metavar="TASK", show_default=False, help="Such as rs.detect.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="The job file; else TASK.toml here.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a commented job file to start from."""
    from vitapps.pipelines.batch.check import write_template

    path = write_template(task, out or Path(f"{task.replace(':', '.')}.toml"), overwrite=overwrite)
    talk.emit({"job": path}, [f"wrote {path}: edit it, then `vitapps batch check {path}`"])


@command(app, "check")
def check(talk: Talk, job: JobArgument) -> None:
    """Print the plan: inputs, weights, expected time. Touches nothing."""
    from vitapps.pipelines.batch.check import check_job
    from vitapps.pipelines.batch.job_file import read_job

    found = check_job(read_job(job))
    talk.emit({"steps": json_ready(found)}, [line for step in found for line in _plan_lines(step)])
    if any(step.missing for step in found):
        raise typer.Exit(4)


@command(app, "run")
def run(
    talk: Talk,
    job: JobArgument,
    overwrite: OverwriteOption = False,
    steps: StepsOption = None,
    shard: ShardOption = None,
    engine: EngineOption = "local",
    address: AddressOption = "auto",
    progress: ProgressOption = False,
    json_lines: LinesOption = False,
) -> None:
    """Do what is not done yet. Exit code 6 when more inputs failed than limits.max_failed."""
    from vitapps.pipelines.batch.job_file import read_job
    from vitapps.pipelines.batch.run import RunChoices, run_job

    if json_lines and talk.as_json:
        raise UsageError("--json and --json-lines exclude each other", hint="leave one of them out")
    choices = RunChoices(
        overwrite=overwrite, steps=tuple(steps or ()), shard=_shard(shard), engine=engine, address=address,
        command=talk.command_line,
    )  # fmt: skip
    result = run_job(read_job(job), choices, _listeners(talk, progress=progress, json_lines=json_lines))
    if not json_lines:
        talk.emit(result.to_json(), _result_lines(result))
    if result.exit_code:
        raise typer.Exit(result.exit_code)


@command(app, "status")
def status(
    talk: Talk,
    job: Annotated[
        Path | None,
        typer.Argument(metavar="[JOB]", show_default=False, help="A job file or state folder; else all jobs here."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print a line a second until the run ends.")] = False,
) -> None:
    """What is done, what failed, and whether a run is going on."""
    from vitapps.pipelines.batch.status import find_states, job_status, state_folder

    states = [state_folder(job)] if job is not None else find_states(Path.cwd())
    if follow and len(states) == 1:
        write_lines(_follow(states[0]))
    found = [job_status(state) for state in states]
    if job is not None:
        talk.emit(found[0].to_json(), _status_lines(found[0]))
    else:
        rows = [(item.name, "running" if item.running else "idle", _states(item)) for item in found]
        talk.emit({"jobs": [item.to_json() for item in found]}, columns(("JOB", "STATE", "ITEMS"), rows))


@command(app, "retry")
def retry(
    talk: Talk,
    job: JobArgument,
    failed: Annotated[bool, typer.Option("--failed/--all", help="The failed inputs only, or everything again.")] = True,
    engine: EngineOption = "local",
    address: AddressOption = "auto",
    progress: ProgressOption = False,
) -> None:
    """Try the failed inputs again now."""
    from vitapps.pipelines.batch.job_file import read_job
    from vitapps.pipelines.batch.run import RunChoices, run_job
    from vitapps.pipelines.batch.status import retry as release
    from vitapps.pipelines.batch.status import state_folder

    release(state_folder(job), everything=not failed)
    choices = RunChoices(engine=engine, address=address, command=talk.command_line)
    result = run_job(read_job(job), choices, _listeners(talk, progress=progress, json_lines=False))
    talk.emit(result.to_json(), _result_lines(result))
    if result.exit_code:
        raise typer.Exit(result.exit_code)


@command(app, "report")
def report(
    talk: Talk,
    job: StateArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="Else report.html in the state folder.")
    ] = None,
) -> None:
    """One HTML page: totals, throughput, failures, previews, every input, with search. Needs no network."""
    from vitapps.pipelines.batch.report import write_report
    from vitapps.pipelines.batch.status import state_folder

    made = write_report(state_folder(job), out)
    size = f"{made.bytes / 1e6:.1f} MB"
    talk.emit(json_ready(made), [f"wrote {made.page}: {made.items} inputs, {made.failed} failed, {size}"])


@command(app, "schedule")
def schedule(
    talk: Talk,
    job: Annotated[Path | None, typer.Argument(metavar="[JOB]", show_default=False, help="A job file.")] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", show_default=False, help='Such as "0 2 * * *"; without it: list them.')
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--timezone", show_default=False, help="IANA name; else this machine's zone.")
    ] = None,
    target: Annotated[
        Literal["systemd", "cron", "k8s", "airflow"] | None,
        typer.Option("--emit", show_default=False, help="Print the unit, line, CronJob or DAG instead."),
    ] = None,
    remove: Annotated[str | None, typer.Option("--remove", show_default=False, help="Name of an entry.")] = None,
    store: StoreOption = None,
) -> None:
    """Run a job at its times: by `vitapps batch serve`, or by the scheduler that you have."""
    from vitapps.pipelines.batch import serve as schedules
    from vitapps.pipelines.batch.cron import local_zone, read_cron
    from vitapps.pipelines.batch.emit import emit
    from vitapps.pipelines.batch.job_file import read_job

    where = store or schedules.default_store()
    if remove is not None:
        schedules.remove_schedule(remove, where)
        talk.emit({"removed": remove}, [f"removed {remove}"])
    elif cron is None:
        found = schedules.list_schedules(where)
        rows = [(item.name, item.following, item.line, item.job) for item in found]
        talk.emit({"schedules": json_ready(found)}, columns(("NAME", "NEXT", "LINE", "JOB"), rows))
    elif job is None:
        raise UsageError("--cron without a job file", hint='vitapps batch schedule job.toml --cron "0 2 * * *"')
    else:
        line = read_cron(cron, zone or local_zone())
        if target is not None:
            text = emit(target, read_job(job), line)
            talk.emit({"kind": target, "text": text}, text.splitlines())
            return
        made = schedules.add_schedule(read_job(job), line, where)
        talk.emit(json_ready(made), [f"{made.name}: {made.line}; `vitapps batch serve` runs it"])


@command(app, "serve")
def serve(talk: Talk, store: StoreOption = None) -> None:
    """Run scheduled jobs at their times until SIGTERM; running jobs then finish what is in flight."""
    from vitapps.pipelines.batch.serve import default_store
    from vitapps.pipelines.batch.serve import serve as serve_store

    started = serve_store(store or default_store(), _say)
    talk.emit({"started": started}, [f"{started} runs were started"])


@command(app, "cancel")
def cancel(talk: Talk, job: StateArgument) -> None:
    """Ask the run of a job to finish what is in flight and stop."""
    from vitapps.pipelines.batch.status import cancel as ask
    from vitapps.pipelines.batch.status import state_folder

    asked = ask(state_folder(job))
    talk.emit({"cancelled": asked}, ["asked: it finishes what is in flight and stops" if asked else "no run goes on"])


@command(app, "clean")
def clean(
    talk: Talk,
    job: StateArgument,
    everything: Annotated[bool, typer.Option("--all", help="Forget the whole job; outputs stay.")] = False,
) -> None:
    """Forget inputs that are gone and remove what killed runs left; outputs stay."""
    from vitapps.pipelines.batch.status import clean as sweep
    from vitapps.pipelines.batch.status import state_folder

    done = sweep(state_folder(job), everything=everything)
    talk.emit(done, [f"{name}: {number} removed" for name, number in done.items()])


def _listeners(talk: Talk, *, progress: bool, json_lines: bool) -> list[Listener]:
    from vitapps.pipelines.batch.events import JsonLines, ProgressLines

    found: list[Listener] = []
    if json_lines:
        found.append(JsonLines(lambda line: write_lines([line])))
    if progress or (not talk.quiet and sys.stderr.isatty()):
        found.append(ProgressLines(_say, every=5.0 if progress else 1.0))
    return found


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise UsageError(f"--shard {text!r}: not understood", hint="such as 3/8, from 1/8 to 8/8")
    return int(index) - 1, int(count)


def _plan_lines(step: StepCheck) -> list[str]:
    from vitapps.pipelines.batch.quantities import shown_seconds

    expected = "unknown, no past run" if step.expected_seconds is None else shown_seconds(step.expected_seconds)
    counts = f"{step.todo} of {step.inputs} inputs to do ({step.bytes / 1e6:.1f} MB)"
    others = [(step.skipped, "done already"), (step.quarantined, "quarantined"), (step.filtered, "filtered out")]
    lines = [f"{step.step}: {counts}{''.join(f', {number} {words}' for number, words in others if number)}"]
    lines += [f"  weights {name} sha256 {digest[:12]}…" for name, digest in step.weights.items()]
    lines += [f"  {step.workers} workers, expected time {expected}"]
    lines += [f"  {source} -> {out}" for source, out in step.first]
    lines += [f"  REFUSED {out}: exists and is not of this job (--overwrite replaces it)" for out in step.foreign]
    return [*lines, *([f"  CANNOT RUN {step.missing}"] if step.missing else [])]


def _result_lines(result: RunResult) -> list[str]:
    from vitapps.pipelines.batch.quantities import shown_seconds

    header = ("STEP", "DONE", "SKIPPED", "FAILED", "QUARANTINED", "SECONDS", "PER SECOND")
    rows: list[Sequence[Any]] = []
    for name, count in result.steps.items():
        rate = f"{count.done / count.seconds:.1f}" if count.seconds else "-"
        rows.append((name, count.done, count.skipped, count.failed, count.quarantined, f"{count.seconds:.1f}", rate))
    lines = columns(header, rows) if rows else []
    lines.append(f"run {result.run} {result.reason} after {shown_seconds(result.seconds)}; journal {result.journal}")
    lines += [f"error: {result.error}", f"hint: {result.hint}"] if result.error else []
    state = result.journal.parent
    return [*lines, *([f"`vitapps batch status {state}` lists the failures"] if result.counts.bad else [])]


def _states(status: Status) -> str:
    total: dict[str, int] = {}
    for counts in status.items.values():
        for state, number in counts.items():
            total[state] = total.get(state, 0) + number
    return ", ".join(f"{number} {state}" for state, number in sorted(total.items())) or "none"


def _status_lines(status: Status) -> list[str]:
    rows = [(step, *(counts.get(state, 0) for state in ("done", "running", "failed")))
            for step, counts in status.items.items()]  # fmt: skip
    last = status.last
    lines = columns(("STEP", "DONE", "IN FLIGHT", "FAILED"), rows)
    lines += [f"run {last['id']} {last['state']}, started {last['started']}: {last['command']}"] if last else []
    lines += [f"{status.rate:.2f} items/s in the last minute"] if status.running else []
    for record in status.failed:
        lines += [f"FAILED {record.key}: {record.kind}: {record.error}"]
        lines += [f"  {record.command}"] if record.command else []
    return lines


def _follow(state: Path) -> Iterator[str]:
    import time

    from vitapps.pipelines.batch.status import job_status

    while (now := job_status(state, most=0)).running:
        yield f"{_states(now)}, {now.rate:.2f}/s"
        time.sleep(1.0)
