"""Vote&Mix: tokens that others resemble go and are mixed into all that stay (Peng et al. 2024, arXiv:2408.17062)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, ascending, keep, rows, with_prefix

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S217",
    "name": "vomix",
    "family": "token_reduction",
    "paper": "Peng et al. 2024, arXiv:2408.17062",
    "equation": "token vote (similarity-weighted) and token mix (softmax of similarity)",
    "deviations": "similarity of attention keys; of two that vote for each other only the later one gets the vote, so "
    "that twins do not go together; tokens are mixed between attention and MLP, not its queries, keys and values; "
    "temperature 0.02 is ours, shares below a thousandth of the largest are none",
    "slots": ["reducer"],
    "cost": "O(N^2 d + r (N - r) C) a block",
    "status": "paper",
}
TEMPERATURE = 0.02  # of the cosine: a twin outweighs a hundred tokens whose cosine is 0.1 lower
SLIGHT = math.log(1e-3)  # shares below a thousandth of the largest are none: who gets nothing stays bit for bit


class Election(NamedTuple):
    """`gone` B r and `kept` B n-r ascending: patches; `shares` B r n-r: how much of each that goes each that stays
    gets, its rows sum to 1."""

    gone: Tensor
    kept: Tensor
    shares: Tensor


class VoMix(Reducer):
    """Prefix, then the patches that stay, in their order. For a dense head, what went comes back as the token that got
    the largest share of it."""

    need: Need | None = "key_mean"
    proportional = True

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        if metric is None:
            raise UsageError("vomix measures similarity on attention keys", hint="the attention must give key_mean")
        prefix = state.prefix
        gone, kept, shares = vote(metric[:, prefix:], r)
        stays, gone = with_prefix(kept + prefix, prefix), gone + prefix  # B N-r, B r
        moved = shares.to(x.dtype) * rows(state.size, gone)  # B r n-r, what goes counts as often as its size says
        old_size = rows(state.size, stays)  # B N-r 1
        new_size = old_size[:, prefix:] + moved.sum(dim=1).unsqueeze(-1)  # B n-r 1
        old = rows(x, stays)
        received = moved.transpose(1, 2) @ rows(x, gone)  # B n-r C
        mixed = (old[:, prefix:] * old_size[:, prefix:] + received) / new_size
        places = torch.arange(stays.shape[1], device=x.device).expand_as(stays)
        target = torch.zeros(x.shape[:2], device=x.device, dtype=stays.dtype).scatter(1, stays, places)
        target = target.scatter(1, gone, shares.argmax(dim=-1) + prefix)
        size = torch.cat((old_size[:, :prefix], new_size), dim=1)
        return torch.cat((old[:, :prefix], mixed), dim=1), keep(state, stays, size=size, target=target)


def vote(keys: Tensor, r: int) -> Election:
    """Every token gives its cosine as a vote to the one it resembles most; the `r` with most votes go. B n d."""
    unit = functional.normalize(keys.float(), dim=-1)
    numbers = torch.arange(keys.shape[1], device=keys.device)
    own = numbers.unsqueeze(0) == numbers.unsqueeze(1)  # n n
    best, choice = (unit @ unit.transpose(1, 2)).masked_fill(own, -2.0).max(dim=-1)  # B n
    mutual = choice.gather(1, choice) == numbers
    weight = torch.where(mutual & (choice < numbers), torch.zeros_like(best), best)
    ballots = (choice.unsqueeze(1) == numbers.unsqueeze(1)).to(best.dtype)  # B n n, row: for whom, column: by whom
    votes = (ballots @ weight.unsqueeze(-1)).squeeze(-1)  # B n
    order = votes.topk(votes.shape[1], dim=-1).indices
    gone, kept = order[:, :r], ascending(order[:, r:])
    likeness = rows(unit, gone) @ rows(unit, kept).transpose(1, 2) / TEMPERATURE  # B r n-r
    slight = likeness < likeness.amax(dim=-1, keepdim=True) + SLIGHT
    return Election(gone, kept, likeness.masked_fill(slight, -torch.inf).softmax(dim=-1))


def build(config: ViTConfig) -> VoMix:
    """Vote&Mix has no setting but the strengths."""
    if config.attention != "softmax":
        raise UsageError(f"vomix needs the keys of softmax attention, not '{config.attention}'", hint="another reducer")
    return VoMix()
