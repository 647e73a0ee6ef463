"""`vitapps face eval all`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitapps.apps.console import KeepOption, Run, command
from vitapps.apps.face_find import DataOption
from vitapps.apps.face_groups import eval_app
from vitapps.apps.face_tables import TABLES
from vitapps.errors import ExitCode

if TYPE_CHECKING:
    from vitapps.pipelines.face.kept_tables import Part


@command(eval_app, "all")
def evaluate_all(
    run: Run,
    data: DataOption,
    keep: KeepOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Pictures of each set of `detect`.")] = 60,
) -> None:
    """Every table of `face eval`, each beside its baselines, in one run; data that are not there are named."""
    from vitapps.pipelines.face.evaluate_all import Setting
    from vitapps.pipelines.face.evaluate_all import evaluate_all as evaluate
    from vitapps.pipelines.runtime.hardware import machine_line

    setting = Setting(limit=limit, options=run.options, progress=run.progress)
    parts = evaluate(data, TABLES, setting, keep=keep)
    total = sum(part.cpu_s for part in parts)
    lines = [machine_line(), ""]
    for part in parts:
        lines += [f"face eval {part.name}{_cost(part)}", *(part.lines or [part.failed or part.skipped]), ""]
    lines.append(f"CPU time of all tables: {total:.0f} s")
    run.emit(
        {
            "tables": {part.name: part.table for part in parts if part.lines},
            "cpu_s": {part.name: part.cpu_s for part in parts if part.lines},
            "skipped": {part.name: part.skipped for part in parts if part.skipped},
            "failed": {part.name: part.failed for part in parts if part.failed},
        },
        lines,
    )
    if any(part.failed for part in parts):
        raise typer.Exit(ExitCode.PARTIAL)


def _cost(part: Part) -> str:
    if not part.lines:
        return ""
    return f" ({part.cpu_s:.0f} s of CPU time, peak memory so far {part.peak_mb} MB{', kept' * part.kept})"
