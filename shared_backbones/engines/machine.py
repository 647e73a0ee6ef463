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
    listed = _listed("flags", "Features").split()
    return tuple(sorted(listed)) or (platform.processor() or platform.machine(),)


@cache
def bf16_is_fast() -> bool:
    """Whether the processor computes bf16 products faster than float32: AMX, Arm's, and AMD's AVX512_BF16 do (1.9x on
    Zen 5). Intel's AVX512_BF16 without AMX, as many virtual machines show it, takes twice as long as float32: 78
    against 144 GFLOP/s a core. Emulated they are slower still."""
    flags = set(cpu_flags())
    return bool({"amx_bf16", "bf16"} & flags) or ("avx512_bf16" in flags and _listed("vendor_id") != "GenuineIntel")


def _listed(*names: str) -> str:
    """What Linux says of the first processor under one of the names; empty where nothing says it."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return value.strip()
    return ""


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


def return_free_memory() -> None:
    """Give what the C library keeps of freed memory back to the system, where it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
