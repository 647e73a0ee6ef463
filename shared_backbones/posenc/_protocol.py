"""What a position encoding gives a ViT: something to add to the tokens, or something to turn q and k by."""

from __future__ import annotations

from torch import Tensor, nn

from vitapps.shared_backbones.attention.rotate import Rotation


class PositionEncoding(nn.Module):
    """A member overrides one of the two. `prefix_table` says whether `table` has rows for the prefix tokens as well."""

    prefix_table: bool = False

    def table(self, grid: tuple[int, ...]) -> Tensor | None:
        """To be added to the tokens: 1 N C with N = prod(grid), or 1 prefix+N C; None adds nothing."""
        return None

    def rotation(self, grid: tuple[int, ...]) -> Rotation | None:
        """Angles of all tokens, prefix included, (prefix+N) d each; None turns nothing."""
        return None

    def resize(self, grid: tuple[int, ...]) -> None:
        """Make `grid` the native one: later calls with it compute nothing."""
