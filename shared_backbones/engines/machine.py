"""What this machine can compute with, asked without importing an engine."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may use (affinity), which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_flags() -> tuple[str, ...]:
    """Instruction sets of the processor, on which compiled code depends, sorted; its name where none are listed."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.partition(":")[0].strip() in ("flags", "Features"):
                return tuple(sorted(line.partition(":")[2].split()))
    return (platform.processor() or platform.machine(),)


def cpu_has_bf16() -> bool:
    """Whether bf16 products are computed by the processor itself; emulated they are slower than float32."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(cpu_flags()))


def cuda_driver() -> tuple[ctypes.CDLL | None, int]:
    """The CUDA driver and how many GPUs it shows to this process; (None, 0) without one.

    The driver itself is asked, not torch: importing torch costs seconds.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None, 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return None, 0
    return driver, count.value


def has_cuda() -> bool:
    """Whether the CUDA driver shows a GPU."""
    return cuda_driver()[1] > 0
