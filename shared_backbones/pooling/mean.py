"""Mean of the patch tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vitapps.shared_backbones.pooling._protocol import Pool, masked_mean

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


class Mean(Pool):
    """Mean over the patches, prefix tokens left out."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        return masked_mean(tokens[:, prefix:], mask)  # B N C -> B C


def build(config: ViTConfig) -> Mean:
    """The mean needs nothing from the configuration."""
    return Mean()
