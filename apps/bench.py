"""`vitapps bench`: ours beside the alternatives, in one run on this machine. Nothing here runs in the tests' time."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from vitapps.apps.console import Run, Talk, command, group
from vitapps.apps.terminal import columns
from vitapps.errors import PartialFailureError
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.bench_engines import EngineBench
    from vitapps.pipelines.runtime.bench_load import LoadBench

app = group("Measure this machine: ours beside the alternatives, in one run.")
QuickOption = Annotated[bool, typer.Option("--quick", help="The smallest sizes and few rounds: a minute or less.")]


@command(app, "engines")
def engines(run: Run, quick: QuickOption = False) -> None:
    """Every engine and precision: CPU time beside eager and prepacked eager PyTorch, error, peak memory."""
    from vitapps.pipelines.runtime.bench_engines import bench_engines

    found = bench_engines(quick=quick, threads=run.options.threads, progress=run.progress)
    run.emit(json_ready(found), _engine_lines(found))


def _engine_lines(found: EngineBench) -> list[str]:
    names = " ".join(f"{name} {found.versions[name]}" for name in ("torch", "openvino", "onnxruntime"))
    header = (
        "MODEL",
        "PX",
        "BATCH",
        "ENGINE",
        "PRECISION",
        "CPU ms",
        "x EAGER",
        "x PACKED",
        "ERROR",
        "PEAK MB",
        "AUTO",
    )
    rows = [
        (
            row.case.model, row.case.size, row.case.batch, row.engine, row.precision,
            *((row.fault, "", "", "", "") if row.fault else (
                f"{row.cpu_ms:.1f}", f"{row.to_eager:.2f}", f"{row.to_packed:.2f}", f"{row.error:.0e}",
                f"{row.peak_mb:.0f}",
            )),
            "chosen" if row.chosen else "",
        )
        for row in found.rows
    ]  # fmt: skip
    return [f"{found.cpu}, {found.threads} thread(s), {names}", *columns(header, rows), "", *found.bars]


@command(app, "load")
def load(run: Run, quick: QuickOption = False) -> None:
    """From a weights file to a network, and from process start to the first answer."""
    from vitapps.pipelines.runtime.bench_load import bench_load

    found = bench_load(quick=quick, threads=run.options.threads, progress=run.progress)
    run.emit(json_ready(found), _load_lines(found))


def _load_lines(found: LoadBench) -> list[str]:
    base = next((row.cpu_ms for row in found.load if row.way.startswith("timm") and not row.fault), 0.0)
    rows = [
        (row.way, *((row.fault, "", "") if row.fault else (
            f"{row.cpu_ms:.0f}", f"{row.grown_mb:.0f}", f"{base / row.cpu_ms:.1f}" if base else "",
        )))
        for row in found.load
    ]  # fmt: skip
    first = [
        (row.engine, row.precision, f"{row.cpu_s:.2f}", f"{row.wall_s:.2f}", "torch" if row.torch_imported else "")
        for row in found.first
    ]
    return [
        f"{found.cpu}: {found.model}, float32 weights",
        *columns(("WAY", "CPU ms", "GROWN MB", "x TIMM"), rows),
        "",
        "process start to first answer, warm cache",
        *columns(("ENGINE", "PRECISION", "CPU s", "WALL s", "IMPORTS"), first),
    ]


@command(app, "many")
def many(
    run: Run,
    quick: QuickOption = False,
    files: Annotated[int, typer.Option(min=2, help="How many small scans.")] = 20,
) -> None:
    """Small files through one streaming run, beside one process a file."""
    from vitapps.pipelines.medical.bench_many import bench_many

    found = bench_many(quick=quick, files=files, threads=run.options.threads, progress=run.progress)
    rows = [
        ("one process a file", f"{found.apart_cpu_s:.1f}", f"{found.apart_wall_s:.1f}", ""),
        ("one streaming run", f"{found.streamed_cpu_s:.1f}", f"{found.streamed_wall_s:.1f}", f"{found.peak_mb:.0f}"),
    ]
    run.emit(
        json_ready(found),
        [
            f"{found.cpu}: {found.files} scans of 48^3 voxels, caches warm",
            *columns(("WAY", "CPU s", "WALL s", "PEAK MB"), rows),
            f"ratio {found.cpu_ratio:.2f} of CPU time, {found.wall_ratio:.2f} of wall time (bar 1.5)",
            f"peak memory with half of the files {found.peak_half_mb:.0f} MB, with all {found.peak_mb:.0f} MB",
            f"outputs agree: {'yes' if found.same_output else 'NO'}",
        ],
    )


@command(app, "all")
def everything(talk: Talk, quick: QuickOption = False) -> None:
    """Every other bench command, each in a process of its own; exit code 6 when one of them fails."""
    from vitapps.pipelines.runtime.bench_all import bench_all

    outcomes = bench_all(_all_commands(quick=quick), progress=talk.progress)
    lines = [
        line
        for item in outcomes
        for line in (f"== bench {item.name} ({item.seconds:.0f} s)", *item.text.splitlines(), item.error, "")
    ]
    talk.emit({"benches": json_ready(outcomes)}, lines)
    failed = [item.name for item in outcomes if item.exit_code]
    if failed:
        raise PartialFailureError(f"{len(failed)} of {len(outcomes)} benches failed: {', '.join(failed)}")


def _all_commands(*, quick: bool) -> list[list[str]]:
    """The words of every bench command registered in this file but `all`; `--quick` for those that know it."""
    found = []
    for item in app.registered_commands:
        if item.name == "all" or item.name is None or item.callback is None:
            continue
        knows_quick = "quick" in inspect.signature(item.callback).parameters
        found.append([item.name, *(["--quick"] if quick and knows_quick else [])])
    return found
