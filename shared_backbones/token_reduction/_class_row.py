"""Patches ranked by the attention of the class token, which several reducers start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.token_reduction._protocol import ascending

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


def attentiveness(metric: Tensor | None, prefix: int) -> Tensor:
    """Attention of the class token to every patch, mean over heads: B h N -> B N-prefix."""
    if metric is None:
        raise UsageError("the reducer ranks by the class token's attention", hint="the attention must give class_row")
    return metric.mean(dim=1)[:, prefix:]


def rank(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Numbers of the `count` highest scores and of all others, each ascending. B n -> B count, B n-count."""
    order = scores.topk(scores.shape[1], dim=1).indices
    return ascending(order[:, :count]), ascending(order[:, count:])


def check_class_row(config: ViTConfig, name: str) -> None:
    """UsageError where the model has no class token or its attention no rows."""
    if not config.class_token:
        raise UsageError(f"reducer '{name}' ranks patches by a class token, the model has none", hint="use tome")
    if config.attention != "softmax":
        raise UsageError(f"reducer '{name}' reads softmax attention, not '{config.attention}'", hint="another reducer")
