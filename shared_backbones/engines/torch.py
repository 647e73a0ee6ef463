"""PyTorch: eager for GPUs, `torch-compile` for CUDA, `torch-packed` for CPUs. The only engines that import torch; on a
CPU only when asked for."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.shared_backbones.engines.model import Arrays, CompiledModel, Run
from vitapps.shared_backbones.weights.cards import Card

if TYPE_CHECKING:
    from torch import nn


def compile_card(card: Card, *, device: str, precision: str, threads: int, engine: str = "torch") -> CompiledModel:
    """Build the card's architecture without initialising it, map its safetensors in, put it on `device`."""
    check_combination(engine, device, precision)
    weights = importlib.import_module("vitapps.shared_backbones.weights.load")
    run = module_runner(weights.load_module(card), engine=engine, device=device, precision=precision, threads=threads)
    return CompiledModel(
        run=run, engine=engine, precision=precision, device=device, threads=threads if device == "cpu" else 0,
        card_name=card.name, output_names=(),
    )  # fmt: skip


def check_combination(engine: str, device: str, precision: str) -> None:
    """Raises UsageError for what these engines do not do, before anything is loaded."""
    if precision == "int8":
        raise UsageError(f"the {engine} engine has no int8", hint="--precision exact or bf16")
    if engine == "torch-compile" and device == "cpu":
        raise UsageError(
            "--engine torch-compile runs on CUDA only: on a CPU it builds for 13 s to gain 7 %",
            hint="--engine openvino, or --device cuda",
        )
    if engine == "torch-packed" and (device != "cpu" or precision != "exact"):
        raise UsageError(
            f"--engine torch-packed is exact and for the CPU, not {precision} on {device}", hint="--engine torch"
        )


def module_runner(module: nn.Module, *, engine: str, device: str, precision: str, threads: int) -> Run:
    """`module` behind arrays. It is moved to `device`, put in evaluation mode and, for `torch-packed`, changed."""
    torch: Any = importlib.import_module("torch")
    if device == "cpu":
        torch.set_num_threads(threads)
    module = module.to(device).eval()
    if engine == "torch-packed":
        module = importlib.import_module("vitapps.shared_backbones.engines.packed").pack(module)
    called: Any = torch.compile(module, dynamic=True) if engine == "torch-compile" else module
    kind = device.partition(":")[0]

    def to_device(array: NDArray[np.float32]) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32))
        return tensor if kind == "cpu" else tensor.pin_memory().to(device, non_blocking=True)

    def run(*inputs: NDArray[np.float32]) -> Arrays:
        mixed = torch.autocast(kind, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
        with torch.inference_mode(), mixed:
            found = called(*map(to_device, inputs))
        parts = found if isinstance(found, tuple) else (found,)
        return tuple(part.float().cpu().numpy() for part in parts)

    return run
