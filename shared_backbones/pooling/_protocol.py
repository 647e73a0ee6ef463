"""What a pooling is: tokens to one vector."""

from __future__ import annotations

from torch import Tensor, nn


class Pool(nn.Module):
    """`forward(tokens: B N C, prefix, mask) -> B C` (wider where `factor` > 1).

    `prefix` leading tokens are no patches; `mask` B N-prefix, True where a patch counts (None: all). A masked patch has
    no influence: the result is that of the tokens without it.
    """

    factor: int = 1

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        """Pool; see the class."""
        raise NotImplementedError


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of B N C over the N that count, -> B C."""
    if mask is None:
        return values.mean(dim=1)
    weight = mask.to(values.dtype).unsqueeze(-1)  # B N -> B N 1
    return (values * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1.0)
