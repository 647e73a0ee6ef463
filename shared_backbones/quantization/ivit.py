"""I-ViT: inference in integers alone; softmax, GELU and LayerNorm by shifts and integer division (Li and Gu 2023,
arXiv:2207.01405). ViTs in a network become `_integer_vit.IntegerViT`; layers around them have min-max levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.quantization._integer_vit import IntegerViT
from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig
from vitapps.shared_backbones.quantization._quantizers import NEUTRAL_BITS

CARD = {
    "id": "S040",
    "name": "ivit",
    "family": "quantization",
    "paper": "Li and Gu 2023, I-ViT, arXiv:2207.01405",
    "equation": "algorithm 1 (Shiftmax), algorithm 2 (ShiftGELU), section 3.4 (I-LayerNorm), eq. 3 (dyadic numbers)",
    "deviations": "not fine-tuned as in the paper; one scale for the residual stream (16 bits); "
    "scores and GELU inputs in units of 1/256; sums of exponentials in 64 bits; refuses rotary positions, qk-norm and "
    "reducers",
    "slots": [],
    "cost": "one pass over the calibration set; products are int8 x int8 -> int32",
    "status": "paper",
}


class IViT(Method):
    """Every plain ViT of a network, in integers. The `skip` list counts for whole ViTs and for what is around them."""

    def restructure(self, model: nn.Module) -> nn.Module:
        if NEUTRAL_BITS in (self.config.weight_bits, self.config.act_bits):
            return model
        if not any(True for _ in _vits(model)):
            raise UsageError(f"ivit: there is no ViT in {type(model).__name__}", hint="another method")
        for name, vit in _vits(model):
            if self.config.skips(name):
                continue
            whole = IntegerViT(vit, self.config.weight_bits, self.config.act_bits)
            if not name:
                return whole
            setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], whole)
        return model

    def refine(self, quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor]) -> None:
        for name, vit in _vits(model):
            whole = quantized.get_submodule(name)
            if isinstance(whole, IntegerViT):
                whole.settle(vit, _inputs_of(vit, model, batches))


def _vits(model: nn.Module) -> Iterator[tuple[str, ViT]]:
    return ((name, part) for name, part in list(model.named_modules()) if isinstance(part, ViT))


def _inputs_of(vit: ViT, model: nn.Module, batches: Sequence[Tensor]) -> list[Tensor]:
    """What the ViT inside `model` is given."""
    seen: list[Tensor] = []

    def note(_: nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(args[0])

    hook = vit.patch_embed.register_forward_pre_hook(note)
    with torch.no_grad():
        for batch in batches:
            model(batch)
    hook.remove()
    return seen


def build(config: QuantConfig) -> Method:
    """No settings but the bits."""
    return IViT(config)
