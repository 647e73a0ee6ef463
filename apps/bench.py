"""`vitapps bench`: ours beside the alternatives, in one run on this machine. Nothing here runs in the tests' time."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitapps.apps.console import KeepOption, Run, Talk, WeightsOption, command, group
from vitapps.apps.own_metric import DataOption, judge_of
from vitapps.apps.terminal import columns
from vitapps.errors import PartialFailureError, UsageError
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.bench_attention import AttentionBench
    from vitapps.pipelines.runtime.bench_embedded import EmbeddedRow
    from vitapps.pipelines.runtime.bench_engines import EngineRow
    from vitapps.pipelines.runtime.bench_load import LoadBench
    from vitapps.pipelines.runtime.bench_packing import PackingBench
    from vitapps.pipelines.runtime.bench_reduce import Row

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
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's profiler tells stderr of every start and stop
    from vitapps.pipelines.runtime.bench_attention import bench_attention

    found = bench_attention(options=run.options, quick=quick, unproven=unproven, progress=run.progress)
    lines = _attention_lines(found)
    if explain:
        lines += ["", *columns(("CASE", "PATH", "WHY"), [(name, *route) for name, route in found.routes.items()])]
    run.emit(json_ready(found), lines)


def _attention_lines(found: AttentionBench) -> list[str]:
    header = ("CASE", "WAY", "ms", "TFLOP/s", "OF ROOF", "x OURS", "MiB", "ERROR")
    rows = [
        (row.case, row.way, "-", "-", "-", "-", "-", row.refused)
        if row.refused
        else (
            row.case, row.way, f"{row.milliseconds:.2f}", f"{row.tflops:.3f}" if row.tflops else "-",
            f"{row.roof:.0%}" if row.roof else "-", f"{row.ratio:.2f}", f"{row.memory / _MIB:.1f}", f"{row.error:.0e}",
        )
        for row in found.rows
    ]  # fmt: skip
    roof = f"{found.roof.matmul / 1e12:.3g} TFLOP/s in products, {found.roof.exponentials / 1e9:.3g} G exponentials/s"
    about = f"{found.device}, {found.dtype}, {found.threads} thread(s); roof: {roof}, not overlapped"
    return [about, *columns(header, rows)]


@command(app, "packing")
def packing(run: Run, quick: QuickOption = False) -> None:
    """Images of mixed sizes: packed in sequences, padded to the longest, and one by one."""
    from vitapps.pipelines.runtime.bench_packing import bench_packing

    def show(mix: PackingBench) -> None:
        run.show([*_packing_lines(mix), ""])

    found = bench_packing(options=run.options, quick=quick, done=show, progress=run.progress)
    run.emit({"mixes": json_ready(found)})


def _packing_lines(found: PackingBench) -> list[str]:
    header = ("WAY", "s", "IMAGES/s", "x ONE BY ONE", "ERROR")
    rows = [
        (row.way, f"{row.seconds:.3f}", f"{row.images_per_second:.1f}", f"{row.gain:.2f}", f"{row.error:.0e}")
        for row in found.rows
    ]
    sizes = f"{found.images} images of {found.shortest} to {found.longest} tokens, {found.tokens} in all"
    filled = f"sequences of {found.capacity} are {found.fill:.1%} full, a padded batch {found.padded_fill:.1%}"
    about = f"{found.mix}: {found.device}, {found.model}, {found.threads} thread(s): {sizes}; {filled}"
    return [about, *columns(header, rows)]


@command(app, "reduce")
def reduce(
    run: Run,
    quick: QuickOption = False,
    size: Annotated[int, typer.Option(min=0, help="Only the case of this image size, in pixels; 0: all.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; the ratio is the median over them.")] = 5,
    weights: WeightsOption = None,
    data: DataOption = None,
) -> None:
    """Token merging beside the dense model through the same engine: CPU time, ratio, bar; then the gain and the loss of
    an embedded model: face-finder on generated scenes, or `-w trees-neon --data DIR`."""
    from vitapps.pipelines.runtime.bench_embedded import SPECS, bench_embedded
    from vitapps.pipelines.runtime.bench_reduce import ENGINES, FULL, QUICK, bench_reduce

    judge = judge_of(weights or "face-finder", data)
    if judge is None:
        raise UsageError(
            f"{weights}: its own metric is not computed here", hint="face-finder, or trees-neon with --data"
        )

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
    own = bench_embedded(
        judge, SPECS[:1] if quick else SPECS, rounds=3 * rounds, options=run.options, progress=run.progress
    )
    found = {"rows": json_ready(rows), "embedded": json_ready(own)}
    run.emit(found, [*_reduce_lines(rows), "", *_embedded_lines(own)])


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


def _embedded_lines(rows: list[EmbeddedRow]) -> list[str]:
    header = ("MODEL", "REDUCE", "ENGINE", "DENSE ms", "REDUCED ms", "RATIO", "RANGE", "OWN METRIC", "REDUCED", "DROP")
    table = [
        (
            row.model, row.spec, row.engine, f"{row.dense_ms:.2f}", f"{row.reduced_ms:.2f}", f"{row.ratio:.2f}x",
            f"{row.lowest:.2f}-{row.highest:.2f}", f"{row.dense:.3f}", f"{row.reduced:.3f}",
            f"{row.dense - row.reduced:+.3f}",
        )
        for row in rows
    ]  # fmt: skip
    return [*columns(header, table), f"own metric: {rows[0].metric}"]


@command(app, "engines")
def engines(
    run: Run,
    quick: QuickOption = False,
    size: Annotated[int, typer.Option(min=0, help="Only images of so many pixels a side; 0: all.")] = 0,
    batch: Annotated[int, typer.Option(min=0, help="Only batches of so many images; 0: all.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds at most; ratios are medians over them.")] = 5,
    keep: KeepOption = None,
) -> None:
    """Every engine and precision: CPU time beside eager and prepacked eager PyTorch, error, peak memory."""
    from vitapps.pipelines.runtime.bench_engines import FULL, QUICK, bench_engines, headline

    cases = [case for case in (QUICK if quick else FULL) if size in (0, case.size) and batch in (0, case.batch)]
    if not cases:
        raise UsageError(f"no case of {size} pixels in batches of {batch}", hint="--size 224 or 512, --batch 1 or 8")
    rounds = min(rounds, 3) if quick else rounds
    run.show([headline(run.options.threads), ""])
    found = bench_engines(
        cases, rounds=rounds, threads=run.options.threads, keep=keep,
        done=lambda rows: run.show([*_engine_lines(rows), ""]), progress=run.progress,
    )  # fmt: skip
    run.emit(json_ready(found), found.bars)


def _engine_lines(case: Sequence[EngineRow]) -> list[str]:
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
        for row in case
    ]  # fmt: skip
    return columns(header, rows)


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
        (row.model, row.engine, row.precision, f"{row.cpu_s:.2f}", f"{row.wall_s:.2f}",
         "torch" if row.torch_imported else "",
         f"{row.bar:g} s {'met' if row.wall_s <= row.bar else 'MISSED'}" if row.bar else "")
        for row in found.first
    ]  # fmt: skip
    return [
        f"{found.cpu}: {found.model}, float32 weights",
        *columns(("WAY", "CPU ms", "GROWN MB", "x TIMM"), rows),
        "",
        "process start to first answer, warm cache",
        *columns(("MODEL", "ENGINE", "PRECISION", "CPU s", "WALL s", "IMPORTS", "BAR"), first),
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


@command(app, "batch")
def batch(
    talk: Talk,
    quick: QuickOption = False,
    items: Annotated[int, typer.Option(min=100, help="Tiny items for the overhead.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; the median counts.")] = 3,
    sample: Annotated[
        Path | None, typer.Option("--sample", show_default=False, help="The input copied; else the bundled tree tile.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="Of --sample.")] = "rs.detect",
    files: Annotated[int, typer.Option(min=1, help="Copies of the sample.")] = 200,
    commands: Annotated[int, typer.Option(min=1, help="How many of them by single commands.")] = 10,
    weights: WeightsOption = None,
) -> None:
    """Overhead of `vitapps batch` an item, the journal's limit, and a job beside a shell loop of single commands."""
    from vitapps.pipelines.batch.bench import measure_against_loop, measure_overhead

    if quick:
        items, rounds, files, commands = min(items, 400), 1, min(files, 40), min(commands, 3)
    cost = measure_overhead(items, rounds=rounds)
    beside = measure_against_loop(task, sample, weights=weights, files=files, commands=commands)
    talk.emit(
        {"overhead": json_ready(cost), "loop": json_ready(beside)},
        [
            f"overhead {cost.overhead:.3f} ms CPU an item over a plain loop ({cost.batch:.3f} - {cost.loop:.3f}); "
            "bar 1 ms",
            f"start {cost.fixed:.2f} CPU seconds a job; journal {cost.journal:.0f} items a CPU second",
            f"{task}, {beside.files} files: job {beside.batch_cpu:.3f} CPU seconds an item ({beside.batch_rate:.2f} "
            f"items/s wall), single commands {beside.loop_cpu:.3f} ({beside.loop_rate:.2f} items/s wall): "
            f"{beside.ratio:.2f}x; bar 3x",
        ],
    )


@command(app, "video-4k")
def video_4k(
    run: Run,
    quick: QuickOption = False,
    frames: Annotated[int, typer.Option(min=1, help="Frames of each scene after the first.")] = 6,
    weights: WeightsOption = None,
) -> None:
    """`video detect` on large frames: two passes beside plain tiling, work and recall, few and many objects."""
    from vitapps.pipelines.video.bench_4k import DEFAULT_WEIGHTS, bench_video_4k

    found = bench_video_4k(
        weights=weights or DEFAULT_WEIGHTS, frames=frames, quick=quick, options=run.options, progress=run.progress
    )  # fmt: skip
    rows = [
        (row.scene, row.way, f"{row.windows:.0f}", f"{row.work:.2f}", f"{row.recall:.3f}", f"{row.precision:.3f}",
         f"{row.cpu_ms:.0f}", f"{row.speedup:.2f}")
        for row in found.rows
    ]  # fmt: skip
    header = ("SCENE", "WAY", "WINDOWS", "OF TILING", "RECALL", "PRECISION", "CPU ms", "x TILING")
    size = f"{found.size[1]} x {found.size[0]}"
    run.emit(
        json_ready(found),
        [f"{found.cpu}: {found.weights} on {found.frames} frames of {size} a scene", *columns(header, rows)],
    )


@command(app, "all")
def everything(talk: Talk, quick: QuickOption = False) -> None:
    """Every other bench command and the table of quantization methods, each in a process of its own; exit code 6 when
    one of them fails."""
    from vitapps.pipelines.runtime.bench_all import bench_all

    outcomes = bench_all(_all_commands(quick=quick), progress=talk.progress)
    lines = [
        line
        for item in outcomes
        for line in (f"== {item.name} ({item.seconds:.0f} s)", *item.text.splitlines(), item.error, "")
    ]
    talk.emit({"benches": json_ready(outcomes)}, lines)
    failed = [item.name for item in outcomes if item.exit_code]
    if failed:
        raise PartialFailureError(f"{len(failed)} of {len(outcomes)} benches failed: {', '.join(failed)}")


def _all_commands(*, quick: bool) -> list[list[str]]:
    """The words of every bench command registered in this file but `all`, and of `models quantize`. Quick ones get
    `--quick` where it is known, and one thread: on a busy machine two wait for one another most of the time."""
    found = []
    for item in app.registered_commands:
        if item.name == "all" or item.name is None or item.callback is None:
            continue
        known = inspect.signature(item.callback).parameters
        words = [*(["--quick"] if "quick" in known else []), *(["--threads", "1"] if "threads" in known else [])]
        found.append(["bench", item.name, *(words if quick else [])])
    methods = ["--method", "minmax,repq" if quick else "all", "--bits", "w4a4" if quick else "w8a8,w6a6,w4a4"]
    return [*found, ["models", "quantize", "line-latin", *methods, "--limit", "12", "--threads", "1"]]
