"""What a training asks of the machine, and what cards and tables say of it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from vitapps.pipelines.runtime.devices import cpu_name


def start_training(seed: int, device: str, threads: int) -> None:
    """Draw everything random of torch from `seed`; compute by `threads` where the device is the processor."""
    import torch

    torch.manual_seed(seed)
    if device == "cpu":
        torch.set_num_threads(threads)


def training_hardware(device: str, threads: int, *, bf16: bool = False, generators: int = 0) -> str:
    """The GPU's name, or processor, threads, precision and the number of processes that made the data beside it."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    words = [f"CPU ({cpu_name()}), {threads} thread(s)"]
    words += ["bf16"] if bf16 else []
    words += [f"{generators} generator process{'es' * (generators > 1)}"] if generators else []
    return ", ".join(words)


def machine_line() -> str:
    """Time, processor, cores and the load of the last minute: what stands above a table of measurements."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {cpu_name()}, {os.cpu_count()} cores, load {load}"
