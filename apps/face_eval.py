"""`vitapps face eval all`."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

import typer

from vitapps.apps.console import Run, command
from vitapps.apps.face_find import DataOption
from vitapps.apps.face_groups import eval_app
from vitapps.apps.face_tables import TABLES
from vitapps.errors import ExitCode


@command(eval_app, "all")
def evaluate_all(run: Run, data: DataOption) -> None:
    """Every table of `face eval`, each beside its baselines, in one run; data that are not there are named."""
    from vitapps.pipelines.face.evaluate_all import evaluate_all as evaluate

    parts = evaluate(data, options=run.options, progress=run.progress)
    lines: list[str] = []
    for part in parts:
        body = TABLES[part.name](part.report) if part.report is not None else [part.failed or part.skipped]
        lines += [f"face eval {part.name}", *body, ""]
    tables = {part.name: _rows(part.report) for part in parts if part.report is not None}
    missing = {part.name: part.skipped for part in parts if part.skipped}
    failed = {part.name: part.failed for part in parts if part.failed}
    run.emit({"tables": tables, "skipped": missing, "failed": failed}, lines[:-1])
    if failed:
        raise typer.Exit(ExitCode.PARTIAL)


def _rows(report: Any) -> Any:
    """A report without its curves, which have a command of their own."""
    if not is_dataclass(report) or isinstance(report, type):
        return report
    return {key: value for key, value in asdict(report).items() if key != "curves"}
