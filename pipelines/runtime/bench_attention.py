"""`vitapps bench attention`: attend() beside what pipelines call today, in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vitapps.options import RunOptions
from vitapps.pipelines.runtime.attention_cases import Case, cases
from vitapps.pipelines.runtime.attention_networks import OURS, Network, networks
from vitapps.pipelines.runtime.attention_roof import Roof, measure_roof
from vitapps.pipelines.runtime.devices import cpu_name
from vitapps.pipelines.runtime.stopwatch import extra_memory, interleaved
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.attention.attend import attend, explain
from vitapps.shared_backbones.attention.dispatch import unproven_kernels
from vitapps.shared_backbones.attention.options import RelPos, Window
from vitapps.shared_backbones.attention.reference import reference_attend


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One way through one case. `milliseconds`: median, process CPU time on a CPU, device time on a GPU; `ratio`: this
    time / ours; `roof`: share of the non-overlapped roof (`attention_roof.py`) that it reaches; `memory` bytes: see
    `stopwatch.extra_memory`; `error`: largest deviation of the first head from fp64. `refused` says why there is no
    figure. Of a whole network neither `tflops` nor `roof` is told (0), and `error` is the largest deviation from
    attention written out, over the largest value."""

    case: str
    way: str
    milliseconds: float = 0.0
    tflops: float = 0.0
    ratio: float = 0.0
    roof: float = 0.0
    memory: int = 0
    error: float = 0.0
    refused: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionBench:
    """All rows of a run; `roof`: the rates that shares of it are of; `routes`: case -> (path, reason) of ours."""

    device: str
    dtype: str
    threads: int
    roof: Roof
    rows: list[Measured]
    routes: dict[str, tuple[str, str]]


@torch.inference_mode()
def bench_attention(
    *, options: RunOptions, quick: bool = False, unproven: bool = False, progress: Progress = null_progress
) -> AttentionBench:
    """Measure every case; on a CPU what runs there, in fp32. `unproven` lets kernels run that no GPU has proven."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(automatic if options.device == "auto" else options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rows: list[Measured] = []
    routes: dict[str, tuple[str, str]] = {}
    roof = measure_roof(device, dtype)
    with unproven_kernels(allowed=unproven):
        found = cases(quick=quick, device=device, dtype=dtype)
        with progress.task("measuring attention", total=len(found)) as task:
            for case in found:
                route = explain(case.qkv[0], case.qkv[1], **case.options)
                routes[case.name] = (route.path, route.reason)
                rows += _measure(case, device, roof, rounds=3 if quick else 9)
                task.advance()
        for network in networks(quick=quick, device=device, dtype=dtype):
            rows += _measure_network(network, device, rounds=3 if quick or device.type == "cpu" else 9)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    dtype_name = str(dtype).removeprefix("torch.")
    return AttentionBench(
        device=name, dtype=dtype_name, threads=torch.get_num_threads(), roof=roof, rows=rows, routes=routes
    )


def _measure(case: Case, device: torch.device, roof: Roof, rounds: int) -> list[Measured]:
    ways: dict[str, Callable[[], Tensor]] = {OURS: lambda: attend(*case.qkv, **case.options)[0], **case.ways}
    expected = _first_head(case)
    refused: dict[str, str] = {}
    errors: dict[str, float] = {}
    for name, way in ways.items():
        try:
            errors[name] = float((way()[:1, :1].double() - expected).abs().max())
        except RuntimeError as error:  # a backend that does not take these arguments says so like this
            refused[name] = str(error).splitlines()[0]
    able = {name: way for name, way in ways.items() if name in errors}
    seconds = interleaved(able, rounds=rounds, device=device)
    rows = [
        Measured(
            case=case.name,
            way=name,
            milliseconds=seconds[name] * 1e3,
            tflops=case.flop / seconds[name] / 1e12,
            ratio=seconds[name] / seconds[OURS],
            roof=roof.seconds(case.flop, case.qkv[0].shape[-1]) / seconds[name],
            memory=extra_memory(way, device),
            error=errors[name],
        )
        for name, way in able.items()
    ]
    return rows + [Measured(case=case.name, way=name, refused=reason) for name, reason in refused.items()]


def _measure_network(network: Network, device: torch.device, rounds: int) -> list[Measured]:
    answers = {name: way().double() for name, way in network.ways.items()}
    plain = list(answers.values())[1]
    seconds = interleaved(network.ways, rounds=rounds, device=device)
    return [
        Measured(
            case=network.name, way=name, milliseconds=seconds[name] * 1e3, ratio=seconds[name] / seconds[OURS],
            memory=extra_memory(way, device), error=float((answers[name] - plain).abs().max() / plain.abs().max()),
        )
        for name, way in network.ways.items()
    ]  # fmt: skip


def _first_head(case: Case) -> Tensor:
    """The reference of the first image and head, whose map fits in memory."""
    options = case.options.copy()
    if (rel_pos := options.get("rel_pos")) is not None:
        options["rel_pos"] = RelPos(grid=rel_pos.grid, strips=tuple(strip[:1, :1] for strip in rel_pos.strips))
    if (window := options.get("window")) is not None and window.table is not None:
        table = window.table[:, :1]
        options["window"] = Window(grid=window.grid, size=window.size, shift=window.shift, table=table)
    if (sizes := options.get("key_size")) is not None:
        options["key_size"] = sizes[:1]
    q, k, v = (x[:1, :1] for x in case.qkv)
    return reference_attend(q, k, v, **options)[0]
