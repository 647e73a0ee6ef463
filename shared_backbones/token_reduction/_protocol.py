"""What a token reducer is: a function of tokens and of the record where every input token went.

The record lets proportional attention weigh merged tokens (`size`), lets rotary positions follow their tokens
(`position`) and lets dense heads put tokens back (`source`, `parked`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.attention.rotate import Rotation


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenState:
    """`size` B N 1: how many input tokens each token stands for; `source` B N0: the index of the token that holds
    input token i, -1 where it was dropped; `position` B N: the input token whose place (rotary position) each token
    has, for a merged token that of the token which the others were merged into; `prefix`: leading class and register
    tokens, which are never reduced; `parked` B N0 C: the values with which dropped tokens come back, None: zeros.
    """

    size: Tensor
    source: Tensor
    position: Tensor
    prefix: int
    parked: Tensor | None = None


class Reducer(nn.Module):
    """`(x: B N C, state, r, metric) -> (x: B N-r C, state)`; `r` 0 returns `x` and `state` themselves.

    `need` names the by-product of `attend` that arrives as `metric` (None: the reducer looks at `x` alone).
    `proportional`: later attention counts a token as often as its `size` says. `stage`: whether tokens go before the
    whole block or between its attention and its MLP. `needs`: what a network must be given beside it, empty for
    nothing. `span`: after so many blocks, that of the removal included, the
    dropped tokens come back; 0: never.
    """

    need: Need | None = None
    proportional: bool = False
    stage: Literal["before", "between"] = "between"
    span: int = 0
    needs: str = ""

    def limit(self, patches: int) -> int:
        """The most tokens that can go of `patches` tokens behind the prefix."""
        return max(patches - 1, 0)

    def strength(self, patches: int, keep: float) -> int:
        """The `r` at which the share `keep` of the patches stays, rounded up."""
        return patches - math.ceil(keep * patches)

    def forward(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None = None) -> tuple[Tensor, TokenState]:
        """Remove `r` tokens behind the prefix; UsageError beyond `limit`."""
        if r == 0:
            return x, state
        patches = x.shape[1] - state.prefix
        if not 0 < r <= self.limit(patches):
            raise UsageError(
                f"reducer '{type(self).__name__.lower()}' cannot remove {r} of {patches} tokens",
                hint=f"r at most {self.limit(patches)}",
            )
        return self.reduce(x, state, r, metric)

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        """What a technique writes; `r` has been checked."""
        raise NotImplementedError


def start(x: Tensor, prefix: int) -> TokenState:
    """The state of B N C tokens that nothing has reduced."""
    batch, count = x.shape[:2]
    places = torch.arange(count, device=x.device).expand(batch, count)
    return TokenState(
        size=torch.ones(batch, count, 1, dtype=x.dtype, device=x.device), source=places, position=places, prefix=prefix
    )


def restore(x: Tensor, state: TokenState) -> Tensor:
    """Put reduced tokens back: B N C -> B N0 C; a merged token is repeated, a dropped one has its parked value or 0."""
    whole = rows(x, state.source.clamp_min(0))  # B N C -> B N0 C
    kept = (state.source >= 0).unsqueeze(-1)  # B N0 1
    return whole * kept.to(x.dtype) if state.parked is None else torch.where(kept, whole, state.parked.to(x.dtype))


def rows(x: Tensor, index: Tensor) -> Tensor:
    """Tokens by number, B N C and B M -> B M C. One flat index over the batch: exported graphs copy whole rows then,
    where an element-wise gather would carry an index as large as the result."""
    batch, count, width = x.shape
    first = torch.arange(batch, device=x.device).unsqueeze(1) * count  # B 1
    return x.reshape(-1, width).index_select(0, (index + first).flatten()).reshape(batch, -1, width)


def ascending(index: Tensor) -> Tensor:
    """Sorted along the last axis, written as a top-k: that is what ONNX has."""
    return index.topk(index.shape[-1], dim=-1, largest=False).values


def keep(state: TokenState, kept: Tensor, *, size: Tensor, target: Tensor, parked: Tensor | None = None) -> TokenState:
    """The state after a step: `kept` B N' is the present token at each new place, `target` B N the new place of each
    present token (-1: dropped), `size` B N' 1 what each new place stands for."""
    held = target.gather(1, state.source.clamp_min(0))  # B N0
    source = torch.where(state.source < 0, state.source, held)
    return TokenState(
        size=size, source=source, position=state.position.gather(1, kept), prefix=state.prefix, parked=parked
    )


def drop(x: Tensor, state: TokenState, patches: Tensor, *, parked: Tensor | None = None) -> tuple[Tensor, TokenState]:
    """Keep the prefix and the `patches` B K (numbers behind the prefix, ascending); everything else is dropped."""
    kept = with_prefix(patches + state.prefix, state.prefix)  # B N'
    places = torch.arange(kept.shape[1], device=x.device).expand_as(kept)
    target = torch.full(x.shape[:2], -1, device=x.device, dtype=kept.dtype).scatter(1, kept, places)
    size = rows(state.size, kept)
    return rows(x, kept), keep(state, kept, size=size, target=target, parked=parked)


def with_prefix(index: Tensor, prefix: int) -> Tensor:
    """The numbers 0 .. prefix - 1 before those of `index`, B K -> B prefix+K."""
    first = torch.arange(prefix, device=index.device).expand(index.shape[0], prefix)
    return torch.cat((first, index), dim=1)


def turn(rope: Rotation | None, state: TokenState) -> Rotation | None:
    """Each token's own angles: tables of N0 d -> B 1 N d."""
    if rope is None:
        return None
    return Rotation(rope.cos[state.position].unsqueeze(1), rope.sin[state.position].unsqueeze(1))
