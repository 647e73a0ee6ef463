"""Multi-head attention of one sequence to another, around `attend`: keys and values can be kept from step to step."""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import Options, attend

KeysValues = tuple[Tensor, Tensor]  # B h M d each


class CrossAttention(nn.Module):
    """Queries of a sequence of width `dim`, keys and values of a context of width `context_dim` (that of `dim` where it
    is None) -> attend -> proj (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3)."""

    def __init__(self, dim: int, heads: int, context_dim: int | None = None) -> None:
        super().__init__()
        if dim % heads:
            raise UsageError(f"dim {dim} is not a multiple of heads {heads}", hint="choose heads that divide dim")
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim if context_dim is None else context_dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def keys_values(self, context: Tensor) -> KeysValues:
        """B M context_dim -> keys and values, B h M d each."""
        k, v = self.kv(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return k, v

    def forward(self, x: Tensor, keys_values: KeysValues, **options: Unpack[Options]) -> Tensor:
        """B N dim -> B N dim; the options are those of `attend`."""
        q = self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B N C -> B h N d
        out, _ = attend(q, *keys_values, **options)
        mixed: Tensor = self.proj(out.transpose(1, 2).flatten(2))  # B h N d -> B N C
        return mixed


def causal_bias(length: int, like: Tensor) -> Tensor:
    """N N: 0 where a query may look, at itself and back, -inf ahead of it; device and kind of number of `like`."""
    return like.new_full((length, length), float("-inf")).triu(1)
