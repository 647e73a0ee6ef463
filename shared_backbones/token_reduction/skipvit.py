"""SkipViT: patches that the class token does not attend to skip a span of blocks and come back (2024)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.token_reduction._class_row import attentiveness, check_class_row, rank
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, drop

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S254",
    "name": "skipvit",
    "family": "token_reduction",
    "paper": "SkipViT: speeding up vision transformers with a token-level skip connection, 2024",
    "equation": "the token-level skip connection; ranking by the class token's attention, mean over heads",
    "deviations": "the span starts between attention and MLP of its first block, where that attention is at hand",
    "slots": ["reducer"],
    "cost": "O(h N d) once",
    "status": "paper",
}


class SkipViT(Reducer):
    """Skipped tokens return bit for bit as they left, in their places, after the block that ends the span."""

    need: Need | None = "class_row"

    def __init__(self, span: int) -> None:
        super().__init__()
        self.span = span

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        attentive, _ = rank(attentiveness(metric, state.prefix), x.shape[1] - state.prefix - r)
        return drop(x, state, attentive, parked=x)


def build(config: ViTConfig) -> SkipViT:
    """Slots `reduce_span` and `reduce`, whose spans must not overlap; it needs a class token."""
    check_class_row(config, "skipvit")
    starts = [index for index, r in enumerate(config.reduce) if r]
    if starts and config.reduce_span < 1:
        raise UsageError("skipvit needs a span", hint="set reduce_span, the number of blocks that are skipped")
    if any(after - before < config.reduce_span for before, after in itertools.pairwise(starts)):
        raise UsageError(
            f"skipvit: spans of {config.reduce_span} blocks from {starts} overlap", hint="shorten the span"
        )
    return SkipViT(config.reduce_span)
