"""A ViT that says what happens in a clip, and gives the vector it said it from.

The axes of `patch` are those of the input: (2, 16, 16) takes frames as tubelets (VideoMAE, Tong et al. 2022, section
3.1), (1,) takes one descriptor a time step. Positions are fixed sines in each axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "VideoMAE",
    "name": "clip_classifier",
    "family": "models",
    "paper": "Tong et al. 2022, arXiv:2203.12602",
    "equation": "section 3.1 (cube embedding, joint space-time attention)",
    "deviations": "sines per axis instead of one table over all tubelets; any number of axes; two outputs",
    "slots": [],
    "cost": "O(depth (N C^2 + N^2 C)), N tubelets",
    "status": "core",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipClassifierConfig:
    """`size` of the input per axis, time first; multiples of `patch`."""

    num_classes: int
    in_chans: int = 3
    size: tuple[int, ...] = (16, 224, 224)
    patch: tuple[int, ...] = (2, 16, 16)
    dim: int = 384
    depth: int = 12
    heads: int = 6
    mlp_ratio: float = 4.0
    drop_path: float = 0.0


class ClipClassifier(nn.Module):
    """`forward(B in_chans *size) -> (logits B num_classes, embedding B dim)`."""

    def __init__(self, config: ClipClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.vit = ViT(_vit_config(config))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.tokens(x)
        embedding = self.vit.fc_norm(tokens.mean(dim=1))  # B N C -> B C
        return self.vit.head(embedding), embedding

    def tokens(self, x: Tensor) -> Tensor:
        """B in_chans *size -> B N C, what an attentive probe reads."""
        features: Features = self.vit.forward_features(x)
        return features.tokens


def _vit_config(config: ClipClassifierConfig) -> ViTConfig:
    return ViTConfig(
        in_chans=config.in_chans,
        image_size=config.size,
        patch=config.patch,
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        drop_path=config.drop_path,
        class_token=False,
        pos="sincos",
        final_norm=False,
        fc_norm=True,
        pool="mean",
        num_classes=config.num_classes,
    )


def clip_example(config: ClipClassifierConfig) -> Tensor:
    """An input of the export size, 1 C *size."""
    return torch.zeros(1, config.in_chans, *config.size)
