"""The class token as the vector of the whole (ViT, Dosovitskiy et al. 2021, eq. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.pooling._protocol import Pool

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


class ClassToken(Pool):
    """Takes the first prefix token; a mask makes no difference."""

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        return tokens[:, 0]  # B N C -> B C


def build(config: ViTConfig) -> ClassToken:
    """UsageError where the model has no class token."""
    if not config.class_token:
        raise UsageError("pool 'cls' needs class_token=True", hint="set it, or pool='mean'")
    return ClassToken()
