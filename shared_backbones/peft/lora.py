"""LoRA: every chosen linear layer learns a low-rank change of its frozen weights (Hu et al. 2021, arXiv:2106.09685).

attach(module, rank=16)     at first computes exactly what it did; only the new matrices are trained
merge(module)               adds the change to the weights: a plain module again, as fast as before
remove(module)              takes it away: the weights are bit for bit those of before
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError

CARD = {
    "id": "LoRA",
    "name": "lora",
    "family": "peft",
    "paper": "Hu et al. 2021, arXiv:2106.09685",
    "equation": "eq. 3",
    "deviations": "on all linear layers of a tracker, as LoRAT (arXiv:2403.05231, section 3.3) uses it",
    "slots": [],
    "cost": "r (C_in + C_out) parameters a layer; nothing once merged",
    "status": "paper",
}


class LoraLinear(nn.Module):
    """`base(x) + scale * x A^T B^T`; A r C_in starts random, B C_out r zero, so that the sum starts as `base`."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        self.down = nn.Parameter(torch.empty(rank, base.in_features, device=base.weight.device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.base(x) + self.scale * nn.functional.linear(nn.functional.linear(x, self.down), self.up)
        return out

    def change(self) -> Tensor:
        """What is added to the weights, C_out C_in."""
        return self.scale * self.up @ self.down


def attach(module: nn.Module, *, rank: int = 16, alpha: float | None = None, within: Sequence[str] = ()) -> list[str]:
    """Put LoRA on the linear layers of `module` whose names begin with one of `within` (none: all), freeze everything
    else, and return their names. The scale is `alpha` / `rank`, alpha being `rank` where it is not given.

    Raises UsageError for a rank below 1, a name that fits nothing, or a module that has LoRA already.
    """
    if rank < 1:
        raise UsageError(f"rank {rank} of LoRA", hint="1 or more")
    if any(isinstance(part, LoraLinear) for part in module.modules()):
        raise UsageError("the module has LoRA already", hint="merge or remove it first")
    chosen = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and (not within or name.startswith(tuple(within)))
    ]
    if not chosen:
        raise UsageError(f"no linear layer begins with {', '.join(within)}", hint="see module.named_modules()")
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    scale = (rank if alpha is None else alpha) / rank
    for name in chosen:
        layer = module.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        _replace(module, name, LoraLinear(layer, rank, scale))
    return chosen


@torch.no_grad()
def merge(module: nn.Module) -> None:
    """Add every change to its weights and put the plain layers back; all parameters can be trained again."""
    for name, layer in list(_layers(module)):
        layer.base.weight += layer.change().to(layer.base.weight.dtype)
        _replace(module, name, layer.base)
    module.requires_grad_(True)


def remove(module: nn.Module) -> None:
    """Put the plain layers back with the weights that they had; all parameters can be trained again."""
    for name, layer in list(_layers(module)):
        _replace(module, name, layer.base)
    module.requires_grad_(True)


def _layers(module: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    for name, part in module.named_modules():
        if isinstance(part, LoraLinear):
            yield name, part


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, part)
