"""ToMe: the most similar pairs of two alternating halves are merged (Bolya et al. 2023, arXiv:2210.09461)."""

from __future__ import annotations

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
    "id": "S048",
    "name": "tome",
    "family": "token_reduction",
    "paper": "Bolya et al. 2023, arXiv:2210.09461",
    "equation": "section 3, bipartite soft matching; eq. 1, proportional attention",
    "deviations": "any prefix is protected; the sum of merged tokens is a product with a 0-1 matrix, not a scatter",
    "slots": ["reducer"],
    "cost": "O(N^2 d / 4 + r N C / 2) a block",
    "status": "verified",
}


class Pairs(NamedTuple):
    """`merged` B r and `left` B na-r: numbers in set A, `left` ascending; `partner` B r: where in set B each goes."""

    merged: Tensor
    left: Tensor
    partner: Tensor


class ToMe(Reducer):
    """Patches 1, 3, 5, ... behind the prefix are set A, patches 0, 2, 4, ... set B; afterwards the prefix comes first,
    then what is left of A, then B. With a class token this is the reference code's partition and order."""

    need: Need | None = "key_mean"
    proportional = True

    def limit(self, patches: int) -> int:
        return patches // 2

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        if metric is None:
            raise UsageError("tome measures similarity on attention keys", hint="the attention must give key_mean")
        prefix, batch = state.prefix, x.shape[0]
        pairs = match(metric[:, prefix:], r)
        count_b = (x.shape[1] - prefix + 1) // 2
        set_b = torch.arange(count_b, device=x.device).expand(batch, count_b)
        kept = with_prefix(torch.cat((2 * pairs.left + 1, 2 * set_b), dim=1) + prefix, prefix)  # B N-r
        gone = 2 * pairs.merged + 1 + prefix  # B r
        whole, size = merge(x, state.size, kept, gone, pairs.partner, count_b)
        return whole, keep(state, kept, size=size, target=_target(x, kept, gone, pairs.partner, count_b))


def match(keys: Tensor, r: int) -> Pairs:
    """Every token of A draws an edge to its most similar one in B (cosine); the `r` strongest edges stay. B n d."""
    unit = functional.normalize(keys.float(), dim=-1)
    scores = unit[:, 1::2] @ unit[:, 0::2].transpose(1, 2)  # B na nb
    best, partner = scores.max(dim=-1)  # B na
    order = best.topk(best.shape[1], dim=-1).indices  # B na
    merged, left = order[:, :r], ascending(order[:, r:])
    return Pairs(merged, left, partner.gather(1, merged))


def merge(x: Tensor, size: Tensor, kept: Tensor, gone: Tensor, partner: Tensor, count_b: int) -> tuple[Tensor, Tensor]:
    """Means weighted by size: B N C and B N 1 -> B N-r C and B N-r 1. The last `count_b` tokens of `kept` are set B."""
    numbers = torch.arange(count_b, device=x.device)
    belongs = (partner.unsqueeze(1) == numbers.unsqueeze(1)).to(x.dtype)  # B nb r
    left = kept.shape[1] - count_b
    old, old_size = rows(x, kept), rows(size, kept)  # B N-r C, B N-r 1
    gone_size = rows(size, gone)  # B r 1
    new_size = old_size[:, left:] + belongs @ gone_size  # B nb 1
    mixed = (old[:, left:] * old_size[:, left:] + belongs @ (rows(x, gone) * gone_size)) / new_size  # B nb C
    return torch.cat((old[:, :left], mixed), dim=1), torch.cat((old_size[:, :left], new_size), dim=1)


def _target(x: Tensor, kept: Tensor, gone: Tensor, partner: Tensor, count_b: int) -> Tensor:
    """The new place of each present token, B N."""
    places = torch.arange(kept.shape[1], device=x.device).expand_as(kept)
    target = torch.zeros(x.shape[:2], device=x.device, dtype=kept.dtype).scatter(1, kept, places)
    return target.scatter(1, gone, partner + kept.shape[1] - count_b)


def build(config: ViTConfig) -> ToMe:
    """ToMe has no setting but the strengths."""
    if config.attention != "softmax":
        raise UsageError(f"tome needs the keys of softmax attention, not '{config.attention}'", hint="another reducer")
    return ToMe()
