"""MGP-STR: a scene word is read in one pass as characters, as BPE pieces and as WordPieces (Wang et al. 2022).

    picture         B 3 32 128            a word, scaled to this size
    ViT             B 1+N C               patches of 4 x 4, no norm at its end
    A3 modules      B T C each            one for each granularity: T learned queries gather what stands at each place
    heads           B T classes each      characters, BPE, WordPiece; the last two may be left out

A3 ("adaptive addressing and aggregation", section 3.2) is attention with T fixed queries: the addressing convolutions
are the queries and the projection of the keys, so it runs through `attend`. The granularities are fused by confidence:
of the three readings the one whose characters or pieces, its end included, are jointly likeliest (eq. 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "S072",
    "name": "mgp_str",
    "family": "models",
    "paper": "Wang, Da, Yao 2022, arXiv:2209.03592",
    "equation": "section 3.2 (A3), eq. 6 (fusion by confidence)",
    "deviations": "granularities besides characters are optional; A3 is written as attention with fixed queries",
    "slots": ["attention", "norm", "pos"],
    "cost": "that of the ViT; the BPE and WordPiece heads hold most parameters of a small model",
    "status": "verified",
}

_GROUPS = 8  # of the 1x1 convolutions in an A3 module


@dataclass(frozen=True, kw_only=True, slots=True)
class MgpStrConfig:
    """`length` T: places of a word, its start and end included. `chars`, `bpe`, `wordpiece`: classes of each head, 0
    leaves the granularity out."""

    in_chans: int = 3
    image_size: tuple[int, int] = (32, 128)
    patch: tuple[int, int] = (4, 4)
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    eps: float = 1e-5
    length: int = 27
    chars: int = 38
    bpe: int = 50257
    wordpiece: int = 30522


class A3(nn.Module):
    """T learned queries over the tokens, B N C -> B T C: softmax(query key(x)) value(x) between two norms.

    `keys` and `values` are grouped 1x1 convolutions without bias, the queries rows of a matrix T C; no scaling.
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

    def forward(self, x: Tensor) -> Tensor:
        x = self.token_norm(x).transpose(1, 2)  # B N C -> B C N
        keys, values = self.keys(x).transpose(1, 2), self.values(x).transpose(1, 2)  # -> B N C
        queries = self.queries.expand(len(x), -1, -1)  # T C -> B T C
        out, _ = attend(queries[:, None], keys[:, None], values[:, None], scale=1.0)  # one head: B 1 T C
        found: Tensor = self.norm(out[:, 0])  # -> B T C
        return found


class MgpStr(nn.Module):
    """See the module docstring. `forward(B 3 H W) -> logits B T classes`, one of each granularity there is, in the
    order characters, BPE, WordPiece."""

    def __init__(self, config: MgpStrConfig) -> None:
        super().__init__()
        self.config = config
        self.vit = ViT(_vit_config(config))
        sizes = {"chars": config.chars, "bpe": config.bpe, "wordpiece": config.wordpiece}
        used = {name: size for name, size in sizes.items() if size}
        if not used:
            raise UsageError("no granularity: chars, bpe and wordpiece are 0", hint="give chars its classes")
        self.gather = nn.ModuleDict({name: A3(config.dim, config.length) for name in used})
        self.heads = nn.ModuleDict({name: nn.Linear(config.dim, size) for name, size in used.items()})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        tokens = self.vit.forward_features(x).tokens  # B 3 H W -> B 1+N C
        return tuple(head(self.gather[name](tokens)) for name, head in self.heads.items())


def reading_confidence(logits: Tensor, end: int, first: int = 1) -> Tensor:
    """B T classes -> B: product of the largest probabilities from place `first` to the first `end`, that included; 0
    for a reading that never ends. Place 0 of MGP-STR holds the start symbol."""
    best, classes = logits[:, first:].float().log_softmax(dim=-1).max(dim=-1)  # B T K -> B T-first
    ends = classes == end
    before = ends.cumsum(dim=1) - ends.long() == 0  # up to the first end
    return (best * before).sum(dim=1).exp() * ends.any(dim=1)


def fuse(logits: tuple[Tensor, ...], ends: tuple[int, ...]) -> Tensor:
    """B: number of the granularity whose reading is likeliest (eq. 6); `ends`: the end class of each."""
    return torch.stack([reading_confidence(part, end) for part, end in zip(logits, ends, strict=True)]).argmax(dim=0)


def _vit_config(config: MgpStrConfig) -> ViTConfig:
    return ViTConfig(
        in_chans=config.in_chans,
        image_size=config.image_size,
        patch=config.patch,
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        qkv_bias=config.qkv_bias,
        eps=config.eps,
        final_norm=False,
        pool="none",
    )
