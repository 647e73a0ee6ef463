"""Timing of alternatives in turn, so that load hits all alike: process CPU time on a CPU, events on a GPU."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

import torch

from vitapps.pipelines.runtime import measure


def interleaved(
    ways: Mapping[str, Callable[[], object]], *, rounds: int, device: torch.device, warm: bool = True,
    patience: float = math.inf,
) -> dict[str, float]:  # fmt: skip
    """Median seconds of each way over `rounds`, A B C A B C; `warm` and `patience` as of `measure.interleaved`."""
    clock = _cuda_seconds if device.type == "cuda" else measure.cpu_seconds
    seconds = measure.interleaved(ways, rounds, clock, warm=warm, patience=patience)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def _cuda_seconds(way: Callable[[], object]) -> float:
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    way()
    after.record()
    torch.cuda.synchronize()
    return float(before.elapsed_time(after)) / 1e3


def extra_memory(way: Callable[[], object], device: torch.device) -> int:
    """Bytes: on a GPU the peak that the call adds, on a CPU the most that one of its operations allocates (torch does
    not keep a peak there)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        base = torch.cuda.memory_allocated(device)
        way()
        return torch.cuda.max_memory_allocated(device) - base
    with torch.autograd.profiler.profile(use_kineto=False, profile_memory=True) as profile:  # kineto writes to stderr
        way()
    return max((event.self_cpu_memory_usage for event in profile.function_events or ()), default=0)
