"""`vitapps bench`: ours beside the alternatives, in one run on this machine. Nothing here runs in the tests' time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import Talk, WeightsOption, command, group
from vitapps.jsonable import json_ready

app = group("Measure this machine: ours beside the alternatives, in one run.")


@command(app, "batch")
def batch(
    talk: Talk,
    items: Annotated[int, typer.Option(min=100, help="Tiny items for the overhead.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; the median counts.")] = 3,
    sample: Annotated[
        Path | None, typer.Option("--sample", show_default=False, help="Also beside single commands, on copies of it.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="Of --sample.")] = "rs.detect",
    files: Annotated[int, typer.Option(min=1, help="Copies of --sample.")] = 200,
    commands: Annotated[int, typer.Option(min=1, help="How many of them by single commands.")] = 10,
    weights: WeightsOption = None,
) -> None:
    """Overhead of `vitapps batch` an item, the journal's limit, and a job beside a shell loop of single commands."""
    from vitapps.pipelines.batch.bench import measure_against_loop, measure_overhead

    cost = measure_overhead(items, rounds=rounds)
    lines = [
        f"overhead {cost.overhead:.3f} ms CPU an item over a plain loop ({cost.batch:.3f} - {cost.loop:.3f}); bar 1 ms",
        f"start {cost.fixed:.2f} CPU seconds a job; journal {cost.journal:.0f} items a CPU second",
    ]
    found = {"overhead": json_ready(cost)}
    if sample is not None:
        beside = measure_against_loop(task, sample, weights=weights, files=files, commands=commands)
        found["loop"] = json_ready(beside)
        lines += [
            f"{task}: job {beside.batch_cpu:.3f} CPU seconds an item ({beside.batch_rate:.2f} items/s wall), "
            f"single commands {beside.loop_cpu:.3f} ({beside.loop_rate:.2f} items/s wall): {beside.ratio:.2f}x; bar 3x"
        ]
    talk.emit(found, lines)
