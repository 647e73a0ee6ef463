"""The multi-granularity head of MGP-STR (Wang, Da, Yao 2022, arXiv:2209.03592): A3 pooling, and fusion by confidence.

A3 ("adaptive addressing and aggregation", section 3.2) is attention with T fixed queries: the addressing convolutions
are the queries and the projection of the keys, so it runs through `attend`. The granularities are fused by confidence:
of several readings the one whose characters or pieces, its end included, are jointly likeliest (eq. 6).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import attend

CARD = {
    "id": "S072",
    "name": "a3",
    "family": "heads",
    "paper": "Wang, Da, Yao 2022, arXiv:2209.03592",
    "equation": "section 3.2 (A3), eq. 6 (fusion by confidence)",
    "deviations": "A3 is written as attention with fixed queries; a bias keeps padding out of words that share a call",
    "slots": ["attention"],
    "cost": "2 N C T + N C^2 / 4 multiplications",
    "status": "core",
}

_GROUPS = 8  # of the 1x1 convolutions


class A3(nn.Module):
    """T learned queries over the tokens, B N C -> B T C: softmax(query key(x)) value(x) between two norms.

    `keys` and `values` are grouped 1x1 convolutions without bias, the queries rows of a matrix T C; no scaling. `bias`
    is added to the scores, B 1 1 N: very low at tokens that do not count.
    """

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        if dim % _GROUPS:
            raise UsageError(f"dim {dim} is not a multiple of {_GROUPS}", hint="A3 works in 8 groups of channels")
        self.token_norm = nn.LayerNorm(dim)
        self.keys = nn.Conv1d(dim, dim, 1, groups=_GROUPS, bias=False)
        self.queries = nn.Parameter(torch.randn(length, dim) * dim**-0.5)
        self.values = nn.Conv1d(dim, dim, 1, groups=_GROUPS, bias=False)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        x = self.token_norm(x).transpose(1, 2)  # B N C -> B C N
        keys, values = self.keys(x).transpose(1, 2), self.values(x).transpose(1, 2)  # -> B N C
        queries = self.queries.expand(x.shape[0], -1, -1)  # T C -> B T C
        out, _ = attend(queries[:, None], keys[:, None], values[:, None], bias=bias, scale=1.0)  # one head: B 1 T C
        found: Tensor = self.norm(out[:, 0])  # -> B T C
        return found


def reading_confidence(logits: Tensor, end: int) -> Tensor:
    """B T classes -> B: product of the largest probabilities up to the first `end`, that included; 0 for a reading that
    never ends."""
    best, classes = logits.float().log_softmax(dim=-1).max(dim=-1)  # B T K -> B T
    ends = (classes == end).long()
    before = ends.cumsum(dim=1) - ends == 0  # up to the first end
    return (best * before).sum(dim=1).exp() * ends.amax(dim=1)


def fuse(logits: tuple[Tensor, ...], ends: tuple[int, ...]) -> Tensor:
    """B: number of the granularity whose reading is likeliest (eq. 6); `ends`: the end class of each."""
    return torch.stack([reading_confidence(part, end) for part, end in zip(logits, ends, strict=True)]).argmax(dim=0)
