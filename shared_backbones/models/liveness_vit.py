"""A ViT with central-difference adapters that tells live faces from shown ones (S098), as one network of a card.

face 0..1    B 3 S S
ViT          `models/vit.py`, each block with a `peft/cdc_adapter.py` beside it, when `adapter` is not zero
head         mean of the patch tokens, LayerNorm, linear to two logits: attack, live
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.peft.cdc_adapter import CdcAdapterConfig, adapt

CARD = {
    "id": "S098",
    "name": "liveness_vit",
    "family": "models",
    "paper": "rehearsal-free domain continual face anti-spoofing (DCDCA + PPCR)",
    "equation": "ViT with dynamic central-difference adapters, two classes",
    "deviations": "a small ViT of our own in the place of ViT-B of ImageNet; mean of the tokens in the place of one",
    "slots": ["blocks"],
    "cost": "that of the ViT and 2 C D + 9 K D a block",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LivenessViTConfig:
    """`size` and `patch` in pixels; `adapter` width of the bottleneck, 0: none."""

    size: int = 96
    patch: int = 8
    dim: int = 64
    depth: int = 3
    heads: int = 4
    adapter: int = 8
    theta: float = 0.7

    def vit(self) -> ViTConfig:
        """The backbone; that of `face pretrain` has the same fields."""
        return ViTConfig(
            image_size=(self.size, self.size), patch=(self.patch, self.patch), dim=self.dim, depth=self.depth,
            heads=self.heads, class_token=False, pool="none", num_classes=0,
        )  # fmt: skip


class LivenessViT(nn.Module):
    """`forward(B 3 S S) -> logits B 2`: attack, live."""

    def __init__(self, config: LivenessViTConfig) -> None:
        super().__init__()
        self.config = config
        self.vit = ViT(config.vit())
        self.adapters = (
            adapt(self.vit, CdcAdapterConfig(dim=config.adapter, theta=config.theta)) if config.adapter else []
        )
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled(x))
        return logits

    def pooled(self, x: Tensor) -> Tensor:
        """What the head sees, B C."""
        features = self.vit.forward_features(x * 2 - 1)
        pooled: Tensor = self.norm(features.tokens.mean(dim=1))  # B N C -> B C
        return pooled

    def train_whole(self) -> None:
        """Everything learns: the first domain, where no encoder was pre-trained."""
        self.requires_grad_(True)

    def train_adapters(self) -> None:
        """Adapters, last norm and head learn, the ViT stays."""
        self.requires_grad_(False)
        for part in (*self.adapters, *self.norm.parameters(), *self.head.parameters()):
            part.requires_grad_(True)


def proxies_of(module: LivenessViT) -> Tensor:
    """The classifier's rows at the end of a domain: attack and live, 2 C."""
    return torch.clone(module.head.weight.detach())
