"""All prefix tokens side by side: what a head of class and distillation token reads (DeiT, Touvron et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.pooling._protocol import Pool

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


class Prefix(Pool):
    """B N C -> B prefix*C; a mask makes no difference."""

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.factor = prefix

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        return tokens[:, :prefix].flatten(1)  # B N C -> B prefix*C


def build(config: ViTConfig) -> Prefix:
    """UsageError where the model has no prefix tokens."""
    if config.prefix == 0:
        raise UsageError("pool 'prefix' needs a class token or registers", hint="set class_token=True, or pool='mean'")
    return Prefix(config.prefix)
