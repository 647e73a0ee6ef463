"""`vitapps bench`: ours beside the alternatives, in one run on this machine. Nothing here runs in the tests' time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitapps.apps.console import Run, command, group
from vitapps.apps.terminal import columns
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.bench_reduce import Row

app = group("Measure this machine: ours beside the alternatives, in one run.")


@command(app, "reduce")
def reduce(
    run: Run,
    quick: Annotated[bool, typer.Option("--quick", help="One small model, three rounds.")] = False,
    size: Annotated[int, typer.Option(min=0, help="Only the case of this image size, in pixels; 0: all.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; the ratio is the median over them.")] = 5,
) -> None:
    """Token merging beside the dense model through the same engine: CPU time, ratio, bar."""
    from vitapps.pipelines.runtime.bench_reduce import ENGINES, FULL, QUICK, bench_reduce

    cases = tuple(case for case in (QUICK if quick else FULL) if size in (0, case.size))
    engines = ENGINES if run.options.engine == "auto" else (run.options.engine,)
    rows = bench_reduce(
        cases,
        engines=engines,
        rounds=min(rounds, 3) if quick else rounds,
        threads=run.options.threads or 1,
        seed=run.options.seed,
        progress=run.progress,
    )
    run.emit({"rows": json_ready(rows)}, _reduce_lines(rows))


def _reduce_lines(rows: list[Row]) -> list[str]:
    header = ("MODEL", "PX", "REDUCE", "ENGINE", "TOKENS LEFT", "DENSE ms", "REDUCED ms", "RATIO", "RANGE", "BAR")
    table = [
        (
            f"ViT-{row.model}/16",
            row.size,
            row.spec,
            f"{row.engine} {row.precision}",
            row.tokens,
            f"{row.dense_ms:.0f}",
            f"{row.reduced_ms:.0f}",
            f"{row.ratio:.2f}x",
            f"{row.lowest:.2f}-{row.highest:.2f}",
            "" if not row.bar else f"{row.bar:.1f}x {'met' if row.ratio >= row.bar else 'MISSED'}",
        )
        for row in rows
    ]
    about = (
        f"process CPU time, {rows[0].threads} thread(s), medians of {rows[0].rounds} interleaved rounds" if rows else ""
    )
    return [*columns(header, table), about]
