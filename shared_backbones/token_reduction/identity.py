"""The reducer that keeps every token: the neutral point of the family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.token_reduction._protocol import TokenState

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


class Identity:
    """Returns tokens and state as they are; any strength but 0 is refused."""

    need: Need | None = None

    def __call__(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None = None) -> tuple[Tensor, TokenState]:
        if r:
            raise UsageError(f"reducer 'identity' cannot remove {r} tokens", hint="give reduce = [] or another reducer")
        return x, state


def build(config: ViTConfig) -> Identity:
    """The identity needs nothing from the configuration."""
    return Identity()
