"""Word heads: the tokens of one word, read again as characters, as BPE pieces and as WordPieces (MGP-STR on lines).

    rows            B N D+2           tokens of a line recogniser, ordinal of each, 1 (0 in the padding behind a word)
    tokens          B N C             + a sinusoidal embedding of the ordinal
    blocks          + depthwise convolution, + attention, + MLP, inside the word
    A3 modules      B T C each        one for each granularity: T places, the end included
    heads           B T classes each  class 0 is the end

A word of a line is no picture with borders: tokens know their neighbours, not their place in the word. The ordinal is
that place: how many characters have begun up to the token, counted softly from the CTC head, so that the query of place
k finds its characters however wide they are. Behind the word stands one row of zeros with the next ordinal: its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.heads.a3 import A3, reading_confidence
from vitapps.shared_backbones.models.line_recogniser import LineRecogniserConfig, SequenceBlock

CARD = {
    "id": "S072",
    "name": "word_heads",
    "family": "models",
    "paper": "Wang, Da, Yao 2022, arXiv:2209.03592",
    "equation": "section 3.2 (A3), eq. 6 (confidence of a reading)",
    "deviations": "reads tokens of a frozen CTC recogniser, word by word; ordinals of characters for positions",
    "slots": ["attention"],
    "cost": "about 40 MFLOP for a word of 6 characters, beside 1.1 GFLOP for its line",
    "status": "core",
}

END = 0  # class that closes a word
EXTRA = 2  # columns of a row besides the token: its ordinal, and whether it counts
_WAVES = 32
_OUTSIDE = -1e9  # added to the scores of padding


@dataclass(frozen=True, kw_only=True, slots=True)
class WordHeadsConfig:
    """`source`: width of the line recogniser's tokens; `chars`, `bpe`, `wordpiece`: classes, the end included; `places`
    of each granularity, the end included."""

    source: int = 192
    dim: int = 192
    depth: int = 2
    heads: int = 6
    mlp_ratio: float = 2.0
    reach: int = 7
    chars: int = 286
    bpe: int = 1201
    wordpiece: int = 1201
    places: tuple[int, int, int] = (24, 12, 12)


class WordHeads(nn.Module):
    """See the module docstring. `forward(B N source+2) -> log probabilities B T classes of characters, BPE pieces and
    WordPieces, and confidence B 3 of these readings` (eq. 6)."""

    def __init__(self, config: WordHeadsConfig) -> None:
        super().__init__()
        self.config = config
        block = LineRecogniserConfig(
            dim=config.dim, heads=config.heads, mlp_ratio=config.mlp_ratio, reach=config.reach
        )  # fmt: skip
        self.to_tokens = nn.Linear(config.source, config.dim)
        self.ordinal = nn.Linear(2 * _WAVES, config.dim)
        self.blocks = nn.ModuleList(SequenceBlock(block) for _ in range(config.depth))
        sizes = {"chars": config.chars, "bpe": config.bpe, "wordpiece": config.wordpiece}
        self.gather = nn.ModuleDict(
            {name: A3(config.dim, places) for name, places in zip(sizes, config.places, strict=True)}
        )
        self.heads = nn.ModuleDict({name: nn.Linear(config.dim, size) for name, size in sizes.items()})

    def forward(self, rows: Tensor) -> tuple[Tensor, ...]:
        logits = self.forward_logits(rows)
        chances = [reading_confidence(part, END) for part in logits]
        return *(part.log_softmax(dim=-1) for part in logits), torch.stack(chances, dim=1)

    def forward_logits(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Before the logarithm of the softmax: what is trained."""
        source = self.config.source
        real = rows[..., source + 1 :]  # B N 1
        bias = (_OUTSIDE * (1 - real)).transpose(1, 2)[:, None]  # B N 1 -> B 1 1 N
        x = self.to_tokens(rows[..., :source]) + self.ordinal(waves(rows[..., source]))  # B N D+2 -> B N C
        for block in self.blocks:
            x = block(x, real, bias)
        return tuple(head(self.gather[name](x, bias)) for name, head in self.heads.items())


def waves(ordinals: Tensor) -> Tensor:
    """B N -> B N 64: sines and cosines of wavelengths from 2 to 128 characters (Vaswani et al. 2017, section 3.5)."""
    rates = math.pi * torch.exp2(torch.linspace(0, -6, _WAVES, device=ordinals.device))
    angles = ordinals[..., None] * rates  # B N 1 * W -> B N W
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def word_example(config: WordHeadsConfig) -> Tensor:
    """Rows of one word of a usual length, 1 32 source+2."""
    example = torch.zeros(1, 32, config.source + EXTRA)
    example[..., config.source] = torch.linspace(0.5, 7.5, 32)
    example[..., config.source + 1] = 1.0
    return example
