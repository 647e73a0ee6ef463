"""Line recogniser: a convolutional stem that keeps the order of the writing, ViT blocks of any width, a CTC head.

    ink 0..1        B 1 40 W       0 paper, 1 ink; W any multiple of 4
    stem            B C3 5 W/4     three 3-wide convolutions, stride 4 along the line, 8 across it
    tokens          B W/4 dim      the five rows of a column joined: one token for every 4 pixels
    blocks          + depthwise convolution along the line, + attention, + MLP
    CTC head        B W/4 1+chars  logits, class 0 is "none"

The tokens that the head sees are given out too: `word_heads.py` reads them again, a word at a time.

SVTR (Du et al. 2022, arXiv:2205.00159) gives the shape: no recurrent part, mixing along the line, CTC. Deviations:
height is gone after the stem, so that every block works on a sequence; positions come from the depthwise convolution
(Chu et al. 2021, arXiv:2102.10882), whose zeros at the ends tell where the line begins, so that a line may have any
width, also one that training never saw.

Lines share a call without knowing of one another (NaViT, Dehghani et al. 2023, arXiv:2307.06304, section 2.1): columns
of the value `GAP` part them, in a row as well as behind the last one. Gaps read as the zeros that every convolution
pads with, and attention stays inside a line, so that a line reads as if it were alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.heads.sequence import CtcHead
from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.layers.mlp import Mlp

CARD = {
    "id": "SVTR",
    "name": "line_recogniser",
    "family": "models",
    "paper": "Du et al. 2022, arXiv:2205.00159",
    "equation": "section 3.1 and 3.3 (stem, mixing blocks, CTC)",
    "deviations": "height is folded into the tokens after the stem; depthwise convolution for local mixing",
    "slots": [],
    "cost": "about 1.1 GFLOP for a line of 60 characters",
    "status": "core",
}

STRIDE = 4  # pixels a token along the line
GAP = -1.0  # value of a column that belongs to no line; ink is never below -0.5
_REAL = -0.75  # above it, a column belongs to a line
_APART = -1e9  # added to the scores of tokens of different lines
_FALL = 8  # pixels a row of the stem's last map


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRecogniserConfig:
    """`num_chars` without the blank; `height` of the line in pixels, a multiple of 8; `reach`: tokens that a depthwise
    convolution sees."""

    num_chars: int = 285
    height: int = 40
    stem: tuple[int, int, int] = (32, 64, 128)
    dim: int = 192
    depth: int = 4
    heads: int = 6
    mlp_ratio: float = 3.0
    reach: int = 7


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel, B C H W; it knows no width, so padding changes nothing."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # B C H W -> B H W C -> B C H W
        return out


class SequenceBlock(nn.Module):
    """x + depthwise(x), + attention, + MLP (both after a layer normalisation); B N C -> B N C. `real` B N 1 is 0 in
    gaps, `bias` B 1 N N parts the lines of a row."""

    def __init__(self, config: LineRecogniserConfig) -> None:
        super().__init__()
        dim = config.dim
        self.local = nn.Conv1d(dim, dim, config.reach, padding=config.reach // 2, groups=dim)
        self.attn_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, config.heads)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio), nn.GELU())

    def forward(self, x: Tensor, real: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        near = x if real is None else x * real
        x = x + self.local(near.transpose(1, 2)).transpose(1, 2)  # B N C -> B C N -> B N C
        x = x + self.attn(self.attn_norm(x), bias=bias)[0]
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class LineRecogniser(nn.Module):
    """See the module docstring. `forward(B 1 height W) -> log probabilities B W/4 1+num_chars, tokens B W/4 dim`."""

    def __init__(self, config: LineRecogniserConfig) -> None:
        super().__init__()
        if config.height % _FALL:
            raise UsageError(f"height {config.height} is not a multiple of {_FALL}", hint="40 is usual")
        self.config = config
        first, second, third = config.stem
        self.stem = nn.Sequential(
            nn.Conv2d(1, first, 3, 2, 1), nn.GELU(),
            nn.Conv2d(first, second, 3, 2, 1), ChannelNorm(second), nn.GELU(),
            nn.Conv2d(second, third, 3, (2, 1), 1), ChannelNorm(third), nn.GELU(),
        )  # fmt: skip
        self.to_tokens = nn.Linear(third * config.height // _FALL, config.dim)
        self.blocks = nn.ModuleList(SequenceBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.head = CtcHead(config.dim, config.num_chars)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log probabilities of lines that lie at multiples of 4 pixels, parted by `gap_of` pixels of `GAP` at least,
        and the normalised tokens that they are made of."""
        real = (x[:, :, :1] > _REAL).to(x.dtype)  # B 1 1 W: 1 in a line, 0 in a gap
        lines = real[:, 0, 0, ::STRIDE]  # B W/4
        starts = lines * (1 - functional.pad(lines[:, :-1], (1, 0)))
        number = starts.cumsum(dim=1) * lines  # of the line of each token, from 1; 0 in gaps
        bias = _APART * (number[:, None, :, None] != number[:, None, None, :]).to(x.dtype)  # -> B 1 W/4 W/4
        tokens = self._tokens(x, real, bias)
        return self.head(tokens).log_softmax(dim=-1), tokens

    def forward_logits(self, x: Tensor) -> Tensor:
        """Before the logarithm of the softmax, every row one line: what is trained."""
        out: Tensor = self.head(self._tokens(x))  # -> B W/4 1+num_chars
        return out

    def _tokens(self, x: Tensor, real: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        step = 1
        for layer in self.stem:  # B 1 H W -> B C H/8 W/4
            if isinstance(layer, nn.Conv2d):
                x = x if real is None else x * real[..., ::step]
                step *= layer.stride[1]
            x = layer(x)
        tokens = self.to_tokens(x.permute(0, 3, 2, 1).flatten(2))  # -> B W/4 H/8 C -> B W/4 dim
        lines = None if real is None else real[:, 0, 0, ::STRIDE, None]  # B W/4 1
        for block in self.blocks:
            tokens = block(tokens, lines, bias)
        out: Tensor = self.norm(tokens)  # B W/4 dim
        return out


def gap_of(config: LineRecogniserConfig) -> int:
    """Pixels between two lines of a row: as far as a depthwise convolution reaches."""
    return STRIDE * (config.reach // 2)


def line_example(config: LineRecogniserConfig) -> Tensor:
    """An input of a usual width, 1 1 height 256."""
    return torch.zeros(1, 1, config.height, 256)
