"""`vitapps bench`: ours beside the alternatives, in one run on this machine. Nothing here runs in the tests' time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitapps.apps.console import Run, command, group
from vitapps.apps.terminal import columns
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.bench_attention import AttentionBench
    from vitapps.pipelines.runtime.bench_packing import PackingBench

app = group("Measure this machine: ours beside the alternatives, in one run.")
QuickOption = Annotated[bool, typer.Option("--quick", help="The smallest sizes and few rounds: a minute or less.")]
_MIB = 1 << 20


@command(app, "attention")
def attention(
    run: Run,
    quick: QuickOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say which path each case takes, and why.")] = False,
    unproven: Annotated[
        bool, typer.Option("--unproven", help="On a GPU: let kernels run that no GPU has proven yet.")
    ] = False,
) -> None:
    """attend() beside eager, every SDPA backend and FlexAttention (CUDA): time, TFLOP/s, memory, error."""
    from vitapps.pipelines.runtime.bench_attention import bench_attention

    found = bench_attention(options=run.options, quick=quick, unproven=unproven, progress=run.progress)
    lines = _attention_lines(found)
    if explain:
        lines += ["", *columns(("CASE", "PATH", "WHY"), [(name, *route) for name, route in found.routes.items()])]
    run.emit(json_ready(found), lines)


def _attention_lines(found: AttentionBench) -> list[str]:
    header = ("CASE", "WAY", "ms", "TFLOP/s", "x OURS", "MiB", "ERROR")
    rows = [
        (row.case, row.way, "-", "-", "-", "-", row.refused)
        if row.refused
        else (
            row.case, row.way, f"{row.milliseconds:.2f}", f"{row.tflops:.3f}", f"{row.ratio:.2f}",
            f"{row.memory / _MIB:.1f}", f"{row.error:.0e}",
        )
        for row in found.rows
    ]  # fmt: skip
    return [f"{found.device}, {found.dtype}, {found.threads} thread(s)", *columns(header, rows)]


@command(app, "packing")
def packing(run: Run, quick: QuickOption = False) -> None:
    """Images of mixed sizes: packed in sequences, padded to the longest, and one by one."""
    from vitapps.pipelines.runtime.bench_packing import bench_packing

    found = bench_packing(options=run.options, quick=quick, progress=run.progress)
    run.emit(json_ready(found), _packing_lines(found))


def _packing_lines(found: PackingBench) -> list[str]:
    header = ("WAY", "s", "IMAGES/s", "x ONE BY ONE", "ERROR")
    rows = [
        (row.way, f"{row.seconds:.3f}", f"{row.images_per_second:.1f}", f"{row.gain:.2f}", f"{row.error:.0e}")
        for row in found.rows
    ]
    sizes = f"{found.images} images of {found.shortest} to {found.longest} tokens, {found.tokens} in all"
    filled = f"sequences of {found.capacity} are {found.fill:.1%} full, a padded batch {found.padded_fill:.1%}"
    return [f"{found.device}, {found.model}, {found.threads} thread(s): {sizes}; {filled}", *columns(header, rows)]
