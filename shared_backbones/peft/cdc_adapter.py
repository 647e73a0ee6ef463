"""DCDCA: adapters with dynamic central-difference convolution beside the blocks of a frozen ViT (face anti-spoofing).

    down     B N C -> B N D
    grid     patch tokens to B D h w; prefix tokens pass by
    mix      sum over kernels m of pi_m(x) [ conv_m(x) - theta * x * sum of conv_m's weights ], pi gates the mean token
    up       -> B N C, zero at first, so that an untrained adapter changes nothing

The central difference (Yu et al. 2020, CVPR, eq. 4) sees what a pixel has over its neighbours: dots, moire, edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.models.vit import Block, ViT

CARD = {
    "id": "S098",
    "name": "cdc_adapter",
    "family": "peft",
    "paper": "rehearsal-free domain continual face anti-spoofing (DCDCA + PPCR)",
    "equation": "dynamic central-difference convolutional adapter; Yu et al. 2020, eq. 4",
    "deviations": "the gate is a sigmoid normalised over kernels, adapters stand beside the whole block",
    "slots": ["blocks"],
    "cost": "2 C D + K 9 D parameters a block",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CdcAdapterConfig:
    """`dim` of the bottleneck, `kernels` that are mixed, `theta` 0..1: share of the central difference."""

    dim: int = 8
    kernels: int = 4
    theta: float = 0.7


class CdcAdapter(nn.Module):
    """B N C -> B N C, zero at first; `forward(x, grid, prefix)`."""

    def __init__(self, width: int, config: CdcAdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.down = nn.Linear(width, config.dim)
        self.kernels = nn.Parameter(torch.empty(config.kernels, config.dim, 3, 3))  # depthwise
        self.gate = nn.Linear(config.dim, config.kernels)
        self.up = nn.Linear(config.dim, width)
        nn.init.trunc_normal_(self.kernels, std=0.2)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor, grid: tuple[int, ...], prefix: int) -> Tensor:
        low = functional.gelu(self.down(x))  # B N C -> B N D
        patches = low[:, prefix:].transpose(1, 2).unflatten(2, grid)  # -> B D h w
        mixed = self.central_difference(patches).flatten(2).transpose(1, 2)  # -> B h*w D
        out: Tensor = self.up(torch.cat([low[:, :prefix], mixed], dim=1))  # -> B N C
        return out

    def central_difference(self, x: Tensor) -> Tensor:
        """Each picture by its own mixture of kernels, B D h w.

        Convolution is linear in its kernel, so the answers of all kernels are mixed: a graph with any batch takes it.
        """
        dim = x.shape[1]
        weight = self.gate(x.mean(dim=(2, 3))).sigmoid()  # B K
        weight = weight / weight.sum(dim=1, keepdim=True)
        kernels = self.kernels.transpose(0, 1)  # K D 3 3 -> D K 3 3
        plain = functional.conv2d(x, kernels.flatten(0, 1)[:, None], padding=1, groups=dim)  # -> B D*K h w
        centre = self.config.theta * kernels.sum(dim=(2, 3))[..., None, None] * x[:, :, None]  # B D K h w
        out: Tensor = ((plain.unflatten(1, (dim, -1)) - centre) * weight[:, None, :, None, None]).sum(dim=2)  # B D h w
        return out


class AdaptedBlock(nn.Module):
    """A frozen block with an adapter beside it: block(x) + adapter(x)."""

    def __init__(self, block: Block, adapter: CdcAdapter, grid: tuple[int, ...], prefix: int) -> None:
        super().__init__()
        self.block, self.adapter, self.grid, self.prefix = block, adapter, grid, prefix

    def forward(self, x: Tensor, *rest: object) -> tuple[Tensor, object]:
        out, state = self.block(x, *rest)
        return out + self.adapter(x, self.grid, self.prefix), state


def adapt(vit: ViT, config: CdcAdapterConfig) -> list[nn.Parameter]:
    """Freeze `vit`, put an adapter beside every block at its native grid, and return the parameters to train."""
    vit.requires_grad_(False)
    trained: list[nn.Parameter] = []
    for number, block in enumerate(vit.blocks):
        adapter = CdcAdapter(vit.config.dim, config)
        assert isinstance(block, Block)
        vit.blocks[number] = AdaptedBlock(block, adapter, vit.config.grid, vit.config.prefix)
        trained += list(adapter.parameters())
    return trained
