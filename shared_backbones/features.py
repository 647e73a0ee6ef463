"""What every backbone returns and every head sees: tokens, the grid they come from, and how many stand before it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from vitapps.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Tokens of a backbone.

    `tokens` B N C: `prefix` class and register tokens, then the patch tokens in row-major order of `grid`.
    `grid`: patches per axis in the order of the input's axes. `intermediates`: block number -> B N C after that block,
    before the final norm. Tokens that a reducer merged or dropped are already put back: N = prefix + prod(grid).
    """

    tokens: Tensor
    grid: tuple[int, ...]
    prefix: int
    intermediates: dict[int, Tensor] = field(default_factory=dict)

    def map(self, layer: int | None = None) -> Tensor:
        """The patch tokens as a feature map B C *grid, of the last or of an intermediate `layer`; UsageError if that
        layer was not asked for."""
        if layer is not None and layer not in self.intermediates:
            raise UsageError(
                f"no intermediate of layer {layer}", hint=f"call forward_features(x, return_layers=({layer},))"
            )
        tokens = self.tokens if layer is None else self.intermediates[layer]
        patches = tokens[:, self.prefix :].transpose(1, 2)  # B N C -> B C N-prefix
        return patches.reshape(*patches.shape[:2], *self.grid)  # -> B C *grid

    def class_token(self) -> Tensor:
        """The first prefix token, B C; UsageError where the backbone has none."""
        if self.prefix == 0:
            raise UsageError("these features have no class token", hint="use the mean of the patch tokens")
        return self.tokens[:, 0]  # B N C -> B C
