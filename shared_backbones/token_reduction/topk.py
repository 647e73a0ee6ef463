"""Top-K: patches that the class token does not attend to are dropped (the baseline of Haurum et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.token_reduction._class_row import attentiveness, check_class_row, rank
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, drop

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S181",
    "name": "topk",
    "family": "token_reduction",
    "paper": "Haurum et al. 2023, Which Tokens to Use? Investigating Token Reduction in Vision Transformers",
    "equation": "the Top-K baseline: mean over heads of the class token's attention",
    "deviations": "kept tokens stay in their order; of the paper's ten methods this is one",
    "slots": ["reducer"],
    "cost": "O(h N d) a reducing block",
    "status": "paper",
}


class TopK(Reducer):
    """The `r` least attended patches go; a dense head finds zeros in their places."""

    need: Need | None = "class_row"

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        attentive, _ = rank(attentiveness(metric, state.prefix), x.shape[1] - state.prefix - r)
        return drop(x, state, attentive)


def build(config: ViTConfig) -> TopK:
    """Top-K has no setting but the strengths; it needs a class token."""
    check_class_row(config, "topk")
    return TopK()
