"""A linear head on the unit hypersphere, with the losses that spread features over it.

logits      s * W z / |z|                                          z B C, s fixed
alignment   mean |u - v|^2 over pairs of one class                 Wang and Isola 2020, eq. 4 (alpha 2)
uniformity  log mean exp(-2 |u - v|^2) over all pairs              Wang and Isola 2020, eq. 5
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.features import Features

CARD = {
    "id": "S104",
    "name": "hypersphere",
    "family": "heads",
    "paper": "CLIP for deepfake detection by LayerNorm tuning (S104); Wang and Isola 2020, arXiv:2005.10242",
    "equation": "Wang and Isola eq. 4, 5",
    "deviations": "alignment over all pairs of a class in the batch, in the place of augmented pairs",
    "slots": [],
    "cost": "C K",
    "status": "paper",
}


class HypersphereHead(nn.Module):
    """Class token (or mean of the patches) -> logits B K; `scale` is the inverse temperature."""

    def __init__(self, dim: int, num_classes: int, scale: float = 10.0) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, num_classes)
        self.scale = scale

    def embed(self, features: Features) -> Tensor:
        """Unit vectors, B C."""
        pooled = features.class_token() if features.prefix else features.tokens.mean(dim=1)
        return functional.normalize(pooled, dim=1)

    def forward(self, features: Features) -> Tensor:
        out: Tensor = self.scale * self.linear(self.embed(features))
        return out


def alignment(unit: Tensor, labels: Tensor) -> Tensor:
    """Mean squared distance of pairs of one class; 0 where there is none. `unit` B C of norm 1, `labels` B."""
    pairs = (labels[:, None] == labels[None]) & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    distance = _squared(unit)
    return (distance * pairs).sum() / pairs.sum().clamp(min=1)


def uniformity(unit: Tensor) -> Tensor:
    """Log of the mean Gaussian potential of all pairs: -4 at best for far apart, 0 where all are one."""
    count = len(unit)
    apart = ~torch.eye(count, dtype=torch.bool, device=unit.device)
    return (-2 * _squared(unit)[apart]).exp().mean().log()


def _squared(unit: Tensor) -> Tensor:
    """|u - v|^2 = 2 - 2 u.v, B B."""
    return 2 - 2 * unit @ unit.T
