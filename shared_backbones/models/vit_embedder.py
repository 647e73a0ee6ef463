"""A ViT whose patch tokens, all of them flattened, become one embedding: the face recognisers of InsightFace.

    image -1..1     B 3 S S       aligned face
    plain ViT       `models/vit.py` without class token
    head            N C values -> linear -> batch norm -> linear -> batch norm

An aligned face has its eyes at one place, so a weight for every place (no pooling) is sensible (An et al. 2022,
arXiv:2203.15565, section 4 trains these). Embeddings are compared after normalisation to length 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "ArcFace-ViT",
    "name": "vit_embedder",
    "family": "models",
    "paper": "An et al. 2022, arXiv:2203.15565",
    "equation": "section 4 (ViT backbones)",
    "deviations": "no random masking of tokens in training",
    "slots": [],
    "cost": "that of the ViT, and N C^2 for the head",
    "status": "verified",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTEmbedderConfig:
    """`size`, `patch` pixels; `embedding` length of the output. Defaults: InsightFace's ViT-T without its width."""

    size: int = 112
    patch: int = 9
    dim: int = 256
    depth: int = 12
    heads: int = 8
    mlp_ratio: float = 4.0
    embedding: int = 512
    drop_path: float = 0.0

    def vit(self) -> ViTConfig:
        """The backbone: sides that are no multiple of the patch lose their rim, as in a convolution without padding."""
        side = self.size // self.patch * self.patch
        return ViTConfig(
            image_size=(side, side), patch=(self.patch, self.patch), dim=self.dim, depth=self.depth, heads=self.heads,
            mlp_ratio=self.mlp_ratio, qkv_bias=False, act="relu6", eps=1e-5, class_token=False, pos="learned",
            pool="none", num_classes=0, drop_path=self.drop_path,
        )  # fmt: skip


class ViTEmbedder(nn.Module):
    """`forward(B 3 S S) -> B embedding`, not normalised."""

    def __init__(self, config: ViTEmbedderConfig) -> None:
        super().__init__()
        self.config = config
        vit = config.vit()
        self.side = vit.image_size[0]
        self.vit = ViT(vit)
        tokens = vit.grid[0] * vit.grid[1]
        self.feature = nn.Sequential(
            nn.Linear(config.dim * tokens, config.dim, bias=False),
            nn.BatchNorm1d(config.dim, eps=2e-5),
            nn.Linear(config.dim, config.embedding, bias=False),
            nn.BatchNorm1d(config.embedding, eps=2e-5),
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.vit.forward_features(x[..., : self.side, : self.side]).tokens  # B N C
        out: Tensor = self.feature(tokens.flatten(1))  # -> B N*C -> B embedding
        return out


def embedder_example(config: ViTEmbedderConfig) -> Tensor:
    """An input of the export size, 1 3 S S."""
    return torch.zeros(1, 3, config.size, config.size)
