"""PyTorch: the engine of GPUs; on a CPU only when asked for. The only engine that imports torch."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.shared_backbones.engines.model import Arrays, CompiledModel
from vitapps.shared_backbones.weights.cards import Card


def compile_card(card: Card, *, device: str, precision: str, threads: int) -> CompiledModel:
    """Build the card's architecture, load its safetensors and put it on `device`."""
    torch: Any = importlib.import_module("torch")
    models = importlib.import_module("vitapps.shared_backbones.models")
    weights = importlib.import_module("vitapps.shared_backbones.weights.load")
    if precision == "int8":
        raise UsageError("the torch engine has no int8", hint="--precision exact or bf16")
    if device == "cpu":
        torch.set_num_threads(threads)
    module = models.build(card.arch, card.config)
    weights.load_weights(module, card)
    module = module.to(device).eval()
    kind = device.partition(":")[0]

    def run(*inputs: NDArray[np.float32]) -> Arrays:
        arrays = [torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(device) for x in inputs]
        mixed = torch.autocast(kind, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
        with torch.inference_mode(), mixed:
            found = module(*arrays)
        parts = found if isinstance(found, tuple) else (found,)
        return tuple(part.float().cpu().numpy() for part in parts)

    return CompiledModel(
        run=run, engine="torch", precision=precision, device=device, threads=threads if device == "cpu" else 0,
        card_name=card.name, output_names=(),
    )  # fmt: skip
