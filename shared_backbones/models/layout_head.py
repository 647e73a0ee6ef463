"""Layout head: what the elements of a page are, and which of them make one region.

    elements        B n 4+G+T     box in x-heights of body type, G facts of its place and shape, T features of a trunk
    blocks          B n dim       attention over all elements of the page, biased by how each pair lies
    kinds           B n 9         logits of `LAYOUT_KINDS`
    links           B n n         logit that two elements belong to one region; symmetric

In training it is also asked for the order, as a third task for the same features, which no page is read by:

    order           B n n         logit that element i is read before element j; antisymmetric

The bias of a pair by its relative geometry is that of Relation Networks (Hu et al. 2018, arXiv:1711.11575, eq. 4 and
5). Deviations: it is added inside the softmax without the rectifier of eq. 5, from asinh of distances in x-heights in
place of sinusoids of their logarithms, and the pair's hidden values also feed the answers for pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.layers.mlp import Mlp

CARD = {
    "id": "RelationNetworks",
    "name": "layout_head",
    "family": "models",
    "paper": "Hu et al. 2018, arXiv:1711.11575",
    "equation": "eq. 4 and 5 (attention weighed by relative geometry)",
    "deviations": "additive bias from asinh distances; pairs also answer for links, in training for order",
    "slots": [],
    "cost": "about 0.1 GFLOP for a page of 100 elements",
    "status": "core",
}

LAYOUT_KINDS = ("nothing", "text", "title", "list", "table", "figure", "caption", "header", "footer")
BOX = 4  # the first values of an element


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutHeadConfig:
    """`facts` G and `features` T of an element; `pair` hidden values of a pair of elements."""

    facts: int = 14
    features: int = 176
    dim: int = 96
    depth: int = 3
    heads: int = 4
    mlp_ratio: float = 2.0
    pair: int = 24


class LayoutBlock(nn.Module):
    """Pre-norm attention with a bias for every pair, and an MLP; B n dim -> B n dim."""

    def __init__(self, config: LayoutHeadConfig) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.attn = Attention(config.dim, config.heads)
        self.mlp = Mlp(config.dim, int(config.mlp_ratio * config.dim), nn.GELU())

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), bias=bias)[0]
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class LayoutHead(nn.Module):
    """See the module docstring. `forward(B n 4+G+T) -> (kinds, links)`."""

    def __init__(self, config: LayoutHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.look = nn.Sequential(nn.LayerNorm(config.features), nn.Linear(config.features, config.dim))
        self.place = nn.Sequential(nn.Linear(config.facts, config.dim), nn.GELU(), nn.Linear(config.dim, config.dim))
        self.pair = nn.Sequential(nn.Linear(8, config.pair), nn.GELU())
        self.biases = nn.ModuleList(nn.Linear(config.pair, config.heads) for _ in range(config.depth))
        self.blocks = nn.ModuleList(LayoutBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.kind = nn.Linear(config.dim, len(LAYOUT_KINDS))
        self.link, self.link_bias = nn.Linear(config.dim, config.dim), nn.Linear(config.pair, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.answers(*self.seen(x))

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """B n 4+G+T -> the elements B n dim, and how each pair lies, B n n pair."""
        facts = self.config.facts
        boxes, place, seen = x[..., :BOX], x[..., BOX : BOX + facts], x[..., BOX + facts :]
        pair = self.pair(pair_geometry(boxes))  # B n n pair
        y = self.place(place) + self.look(seen)  # -> B n dim
        for block, bias in zip(self.blocks, self.biases, strict=True):
            y = block(y, bias(pair).permute(0, 3, 1, 2))  # B n n h -> B h n n
        return self.norm(y), pair

    def answers(self, y: Tensor, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Kinds and links of what `seen` gives."""
        link = self.link(y)
        alike = self.config.dim**-0.5 * link @ link.transpose(1, 2) + self.link_bias(pair)[..., 0]  # B n n
        return self.kind(y), alike + alike.transpose(1, 2)


class OrderedLayoutHead(LayoutHead):
    """The head in training: `forward(B n 4+G+T) -> (kinds, links, order)`."""

    def __init__(self, config: LayoutHeadConfig) -> None:
        super().__init__(config)
        self.before, self.after = nn.Linear(config.dim, config.dim), nn.Linear(config.dim, config.dim)
        self.order_bias = nn.Linear(config.pair, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, pair = self.seen(x)
        scale = self.config.dim**-0.5
        first = scale * self.before(y) @ self.after(y).transpose(1, 2) + self.order_bias(pair)[..., 0]  # B n n
        return (*self.answers(y, pair), first - first.transpose(1, 2))

    def without_order(self) -> LayoutHead:
        """The same weights as the head that is published."""
        head = LayoutHead(self.config)
        head.load_state_dict({name: value for name, value in self.state_dict().items() if name in head.state_dict()})
        return head


def pair_geometry(boxes: Tensor) -> Tensor:
    """How every pair of boxes lies: asinh of the distances of edges and middles, and of the gaps between them, which
    are negative where they overlap; B n 4 -> B n n 8."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    steps = [_step(value) for value in (x0, x1, (x0 + x1) / 2, y0, y1, (y0 + y1) / 2)]
    gaps = [_gap(x0, x1), _gap(y0, y1)]
    return torch.asinh(torch.stack([*steps, *gaps], dim=-1))


def _step(value: Tensor) -> Tensor:
    return value[:, None, :] - value[:, :, None]  # B n -> B n n


def _gap(low: Tensor, high: Tensor) -> Tensor:
    """Distance of two spans, negative where they overlap; B n -> B n n."""
    return torch.maximum(low[:, None, :] - high[:, :, None], low[:, :, None] - high[:, None, :])


def layout_example(config: LayoutHeadConfig) -> Tensor:
    """An input for the export, 1 24 4+G+T."""
    return torch.zeros(1, 24, BOX + config.facts + config.features)
