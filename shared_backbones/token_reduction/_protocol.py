"""What a token reducer is: a function of tokens and of the record where every input token went.

The record lets proportional attention weigh merged tokens (`size`) and lets dense heads put tokens back (`source`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.attend import Need


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenState:
    """`size` B N 1: how many input tokens each token stands for; `source` B N0: the index of the token that holds
    input token i, -1 where it was dropped; `prefix`: leading class and register tokens, which are never reduced.
    """

    size: Tensor
    source: Tensor
    prefix: int


class Reducer(Protocol):
    """`(x: B N C, state, r, metric) -> (x: B N-r C, state)`; `r` 0 returns `x` itself.

    `need` names the by-product of `attend` that arrives as `metric` (None: the reducer looks at `x` alone).
    """

    need: Need | None

    def __call__(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None = None) -> tuple[Tensor, TokenState]:
        """Remove `r` tokens behind the prefix."""
        ...


def start(x: Tensor, prefix: int) -> TokenState:
    """The state of B N C tokens that nothing has reduced."""
    batch, count = x.shape[:2]
    return TokenState(
        size=torch.ones(batch, count, 1, dtype=x.dtype, device=x.device),
        source=torch.arange(count, device=x.device).expand(batch, count),
        prefix=prefix,
    )


def restore(x: Tensor, state: TokenState) -> Tensor:
    """Put reduced tokens back: B N C -> B N0 C; a merged token is repeated, a dropped one is zero."""
    index = state.source.clamp_min(0).unsqueeze(-1).expand(-1, -1, x.shape[-1])  # B N0 -> B N0 C
    kept = (state.source >= 0).unsqueeze(-1).to(x.dtype)
    return x.gather(1, index) * kept  # B N C -> B N0 C
