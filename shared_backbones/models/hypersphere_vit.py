"""A ViT with a linear head on the unit hypersphere: real or fake, by what the class token says and not how loudly.

    input        B C *size, raw; `mean` and `std` by channel are part of the network
    plain ViT    `models/vit.py`: a published CLIP or DINO tower, or a small one on cells of cues
    head         `heads/hypersphere.py`

S104 trains of a tower the LayerNorms (`peft/ln_tuning.py`) and the head alone, with alignment and uniformity beside
cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.heads.hypersphere import HypersphereHead
from vitapps.shared_backbones.models import tuples
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "S104",
    "name": "hypersphere_vit",
    "family": "models",
    "paper": "CLIP for deepfake detection by LayerNorm tuning (S104, arXiv:2503.19683)",
    "equation": "features of length 1, linear classifier",
    "deviations": "any plain ViT and any input channels",
    "slots": [],
    "cost": "that of the ViT",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HypersphereViTConfig:
    """`vit`: fields of `ViTConfig` (without pooling and classes); `mean` and `std` of the input's channels."""

    vit: dict[str, Any]
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    num_classes: int = 2
    scale: float = 10.0

    def tower(self) -> ViTConfig:
        """The backbone; lists stand for tuples, as in TOML."""
        fields = {key: tuples(value) for key, value in self.vit.items()}
        return ViTConfig(**(fields | {"pool": "none", "num_classes": 0}))


class HypersphereViT(nn.Module):
    """`forward(B C *size) -> logits B num_classes`."""

    def __init__(self, config: HypersphereViTConfig) -> None:
        super().__init__()
        self.config = config
        tower = config.tower()
        self.vit = ViT(tower)
        self.head = HypersphereHead(tower.dim, config.num_classes, config.scale)
        ones = (1, -1, *([1] * len(tower.patch)))
        self.register_buffer("mean", torch.tensor(config.mean).reshape(ones))
        self.register_buffer("std", torch.tensor(config.std).reshape(ones))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits

    def features(self, x: Tensor) -> Features:
        """What the head sees."""
        return self.vit.forward_features((x - self.get_buffer("mean")) / self.get_buffer("std"))

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits B K, and the unit vectors B C for the losses."""
        features = self.features(x)
        logits: Tensor = self.head(features)
        return logits, self.head.embed(features)
