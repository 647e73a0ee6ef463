"""PARSeq: a word is written character by character, then mended with all of it in sight (Bautista & Atienza 2022).

    picture      B 3 H W             a word, scaled to the encoder's size
    ViT          B N C               patches, no class token
    queries      one for each place  "what stands here?", they see the characters of other places and the picture
    head         B T 95              the end, then the characters

The decoder was trained on every order of the characters (permutation language modelling, section 3.2), so that it can
write from left to right and then ask each place again with the characters on both sides of it (cloze, section 3.3).
Two streams (XLNet, Yang et al. 2019): queries know their place alone; the content, characters with their places, is
what they look at. It would be updated in all layers but the last: there is one, as in every published model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.layers.act import make_act
from vitapps.shared_backbones.layers.cross_attention import CrossAttention, KeysValues
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "PARSeq",
    "name": "parseq",
    "family": "models",
    "paper": "Bautista & Atienza 2022, arXiv:2207.06966",
    "equation": "section 3.1 (model), section 3.3 (decoding schemes)",
    "deviations": "inference alone: no permutations are drawn",
    "slots": ["attention", "norm", "pos"],
    "cost": "that of the ViT once, of a decoder layer once for every character and twice at the end",
    "status": "verified",
}

END = 0  # class of the end of a word; characters follow from 1
_EPS = 1e-5  # of the decoder's norms


@dataclass(frozen=True, kw_only=True, slots=True)
class ParseqConfig:
    """`encoder`: the ViT without class token, pool "none"; its `dim` C is the decoder's too. `chars`: characters
    without the end; `length`: the most that a word has. `refine`: how often a word is mended."""

    encoder: ViTConfig = field(
        default_factory=lambda: ViTConfig(
            image_size=(32, 128), patch=(4, 8), dim=384, heads=6, class_token=False, pool="none"
        )
    )
    heads: int = 12
    mlp_ratio: float = 4.0
    chars: int = 94
    length: int = 25
    refine: int = 1

    @property
    def begin(self) -> int:
        """The token before a word, which also stands for no context; one more, for padding, is behind it."""
        return 1 + self.chars


class TwoStreamLayer(nn.Module):
    """Pre-norm: attention of the queries to the content, to the picture, MLP."""

    def __init__(self, config: ParseqConfig) -> None:
        super().__init__()
        dim = config.encoder.dim
        self.norm_q = nn.LayerNorm(dim, eps=_EPS)
        self.norm_c = nn.LayerNorm(dim, eps=_EPS)
        self.self_attn = CrossAttention(dim, config.heads)
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.cross_attn = CrossAttention(dim, config.heads)
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = Mlp(dim, round(dim * config.mlp_ratio), make_act("gelu"))

    def forward(self, x: Tensor, content: Tensor, picture: KeysValues, bias: Tensor) -> Tensor:
        """Queries B T C, content B L C -> B T C; `bias` broadcasts to B h T L."""
        seen = self.self_attn.keys_values(self.norm_c(content))
        x = x + self.self_attn(self.norm_q(x), seen, bias=bias)
        x = x + self.cross_attn(self.norm1(x), picture)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Parseq(nn.Module):
    """See the module docstring. `forward(B 3 H W) -> logits B T 1+chars`; of each word what stands behind its end means
    nothing."""

    def __init__(self, config: ParseqConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.encoder.dim
        self.encoder = ViT(config.encoder)
        self.text = nn.Embedding(config.chars + 3, dim)  # end, characters, begin, padding
        self.queries = nn.Parameter(torch.empty(1, config.length + 1, dim))
        nn.init.trunc_normal_(self.queries, std=0.02)
        self.layer = TwoStreamLayer(config)
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.head = nn.Linear(dim, 1 + config.chars)

    def forward(self, x: Tensor) -> Tensor:
        picture = self.layer.cross_attn.keys_values(self.encoder.forward_features(x).tokens)  # B 3 H W -> B h N d each
        logits = self._written(picture)
        for _ in range(self.config.refine):
            logits = self._mended(logits.argmax(dim=-1), picture)
        return logits

    def _written(self, picture: KeysValues) -> Tensor:
        """From left to right: each place sees the likeliest characters before it; B T 1+chars, T up to the end of the
        longest word."""
        batch, places = len(picture[0]), self.config.length + 1
        seen = torch.full((batch, 1), self.config.begin, dtype=torch.long, device=self.queries.device)
        logits: list[Tensor] = []
        for place in range(places):
            everything = self.queries.new_zeros(1, place + 1)
            logits.append(self._asked(self.queries[:, place : place + 1], seen, picture, everything))
            seen = torch.cat((seen, logits[-1].argmax(dim=-1)), dim=1)  # B t -> B t+1
            if (seen == END).any(dim=1).all():
                break
        return torch.cat(logits, dim=1)

    def _mended(self, found: Tensor, picture: KeysValues) -> Tensor:
        """Every place asked again, B T -> B length+1 1+chars: it sees the characters found at all the others up to the
        end of the word, not the one at its own."""
        seen = torch.cat((torch.full_like(found[:, :1], self.config.begin), found[:, :-1]), dim=1)  # B T
        ended = (seen == END).cumsum(dim=1) > 0
        square = torch.ones(self.config.length + 1, seen.shape[1], dtype=torch.bool, device=found.device)
        itself = square.triu(1).tril(1)  # the begin stands before all: a place's own character is one further on
        hidden = itself | ended[:, None, None]  # -> B 1 length+1 T
        bias = torch.zeros_like(hidden, dtype=self.queries.dtype).masked_fill(hidden, float("-inf"))
        return self._asked(self.queries, seen, picture, bias)

    def _asked(self, queries: Tensor, seen: Tensor, picture: KeysValues, bias: Tensor) -> Tensor:
        """Logits B Q 1+chars of the places `queries` 1 Q C from the characters `seen` B L, the begin first."""
        content = self.text(seen) * math.sqrt(self.config.encoder.dim)  # B L -> B L C
        content = torch.cat((content[:, :1], content[:, 1:] + self.queries[:, : seen.shape[1] - 1]), dim=1)
        asked = self.layer(queries.expand(len(seen), -1, -1), content, picture, bias)
        logits: Tensor = self.head(self.norm(asked))  # B Q C -> B Q 1+chars
        return logits
