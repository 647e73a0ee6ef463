"""Line recogniser: a convolutional stem that keeps the order of the writing, ViT blocks of any width, a CTC head.

    ink 0..1        B 1 40 W       0 paper, 1 ink; W any multiple of 4
    stem            B C3 5 W/4     three 3-wide convolutions, stride 4 along the line, 8 across it
    tokens          B W/4 dim      the five rows of a column joined: one token for every 4 pixels
    blocks          + depthwise convolution along the line, + attention, + MLP
    CTC head        B W/4 1+chars  logits, class 0 is "none"

SVTR (Du et al. 2022, arXiv:2205.00159) gives the shape: no recurrent part, mixing along the line, CTC. Deviations:
height is gone after the stem, so that every block works on a sequence; positions come from the depthwise convolution
(Chu et al. 2021, arXiv:2102.10882), whose zeros at the ends tell where the line begins, so that a line may have any
width, also one that training never saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
    """x + depthwise(x), + attention, + MLP (both after a layer normalisation); B N C -> B N C."""

    def __init__(self, config: LineRecogniserConfig) -> None:
        super().__init__()
        dim = config.dim
        self.local = nn.Conv1d(dim, dim, config.reach, padding=config.reach // 2, groups=dim)
        self.attn_norm, self.mlp_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, config.heads)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.local(x.transpose(1, 2)).transpose(1, 2)  # B N C -> B C N -> B N C
        x = x + self.attn(self.attn_norm(x))[0]
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class LineRecogniser(nn.Module):
    """See the module docstring. `forward(B 1 height W) -> log probabilities B W/4 1+num_chars`."""

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

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_logits(x).log_softmax(dim=-1)

    def forward_logits(self, x: Tensor) -> Tensor:
        """As `forward`, before the logarithm of the softmax."""
        maps = self.stem(x)  # B 1 H W -> B C H/8 W/4
        tokens = self.to_tokens(maps.permute(0, 3, 2, 1).flatten(2))  # -> B W/4 H/8 C -> B W/4 dim
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.head(self.norm(tokens))  # -> B W/4 1+num_chars
        return out


def line_example(config: LineRecogniserConfig) -> Tensor:
    """An input of a usual width, 1 1 height 256."""
    return torch.zeros(1, 1, config.height, 256)
