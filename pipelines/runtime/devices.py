"""Which processors are here, asked of the operating system and of the CUDA driver; torch only by `torch_device`."""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines.machine import cuda_driver

_NAME_BYTES = 128
_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{MAJOR,MINOR} of cuda.h


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaDevice:
    """A GPU as the driver reports it; `memory` in bytes, `capability` such as `9.0`."""

    index: int
    name: str
    memory: int
    capability: str


def cuda_devices() -> list[CudaDevice]:
    """Every GPU that the CUDA driver shows to this process (CUDA_VISIBLE_DEVICES counts), none without a driver."""
    driver, count = cuda_driver()
    return [] if driver is None else [_describe(driver, index) for index in range(count)]


def require_cuda(index: int) -> None:
    """Raise MissingError unless GPU `index` is here."""
    found = cuda_devices()
    if index < len(found):
        return
    if not found:
        raise MissingError("no CUDA GPU was found by the driver", hint="`--device cpu`, or see `vitapps doctor`")
    names = ", ".join(f"cuda:{device.index} ({device.name})" for device in found)
    raise MissingError(f"cuda:{index}: no such GPU", hint=f"present: {names}")


def torch_device(options: RunOptions, automatic: Literal["cpu", "gpu"] = "gpu") -> str:
    """Where torch computes; `--device auto` takes the GPU that is here, or the processor where `automatic` is `cpu`. On
    the processor it computes by `options.threads` from now on."""
    import torch

    chosen = "cuda" if automatic == "gpu" and torch.cuda.is_available() else "cpu"
    device = chosen if options.device == "auto" else options.device
    if options.threads and device == "cpu":
        torch.set_num_threads(options.threads)
    return device


def cpu_name() -> str:
    """The processor's own name where the system tells it, else its architecture."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _describe(driver: ctypes.CDLL, index: int) -> CudaDevice:
    name, memory = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetName(name, _NAME_BYTES, index)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), index)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _ATTRIBUTE_MAJOR, index)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _ATTRIBUTE_MINOR, index)
    capability = f"{major.value}.{minor.value}"
    return CudaDevice(index=index, name=name.value.decode(), memory=memory.value, capability=capability)
