"""The reducer that keeps every token: the neutral point of the family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitapps.shared_backbones.token_reduction._protocol import Reducer

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


class Identity(Reducer):
    """Returns tokens and state as they are; any strength but 0 is refused."""

    def limit(self, patches: int) -> int:
        return 0


def build(config: ViTConfig) -> Identity:
    """The identity needs nothing from the configuration."""
    return Identity()
