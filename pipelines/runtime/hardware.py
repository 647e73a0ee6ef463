"""What a card says of the machine that trained it."""

from __future__ import annotations

from vitapps.pipelines.runtime.devices import cpu_name


def training_hardware(device: str, threads: int, *, bf16: bool = False, generators: int = 0) -> str:
    """The GPU's name, or processor, threads, precision and the number of processes that made the data beside it."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    words = [f"CPU ({cpu_name()}), {threads} thread(s)"]
    words += ["bf16"] if bf16 else []
    words += [f"{generators} generator process{'es' * (generators > 1)}"] if generators else []
    return ", ".join(words)
