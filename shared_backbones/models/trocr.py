"""TrOCR: a line of text as a picture, written by a text decoder piece by piece (Li et al. 2023).

    picture      B 3 H W          a line, scaled to the encoder's size
    ViT          B N C            class token (DeiT: a distillation token too) and patches
    decoder      B T D            post-norm layers: pieces so far, then the picture's tokens, then an MLP
    pieces       B T V            what stands next at every place

The encoder is a ViT or a DeiT; that of the published base models, which BEiT initialised, is a ViT without query, key
and value biases. The decoder is that of RoBERTa or UniLM with attention to the picture added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.layers.act import Act, make_act
from vitapps.shared_backbones.layers.cross_attention import CrossAttention, KeysValues, causal_bias
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "TrOCR",
    "name": "trocr",
    "family": "models",
    "paper": "Li et al. 2023, arXiv:2109.10282",
    "equation": "section 3 (encoder, decoder)",
    "deviations": "read greedily, without a beam; keys and values of earlier pieces are kept",
    "slots": ["attention", "norm", "pos"],
    "cost": "that of the ViT once, of the decoder once for every piece",
    "status": "verified",
}

_BEFORE = 2  # rows of a position table before the first piece: fairseq's padding index, 1, and one more


@dataclass(frozen=True, kw_only=True, slots=True)
class TrOcrConfig:
    """`encoder`: the ViT, pool "none". The decoder: `dim` D, `depth` layers, `heads`, `hidden` of its MLPs,
    `vocabulary` V, `positions` pieces at most. `learned`: positions are a table, else sines. `embed_norm`: a norm after
    the embedding. `scaled`: embeddings times sqrt(D). `bridge`: the tokens of the picture are projected to D first."""

    encoder: ViTConfig = field(default_factory=lambda: ViTConfig(image_size=(384, 384), pool="none"))
    dim: int = 1024
    depth: int = 12
    heads: int = 16
    hidden: int = 4096
    vocabulary: int = 50265
    positions: int = 512
    act: Act = "gelu"
    learned: bool = True
    embed_norm: bool = True
    scaled: bool = False
    bridge: bool = False


class DecoderLayer(nn.Module):
    """Attention to the pieces, to the picture, MLP; a norm after each sum (Vaswani et al. 2017, section 3.1)."""

    def __init__(self, config: TrOcrConfig) -> None:
        super().__init__()
        dim = config.dim
        self.self_attn = CrossAttention(dim, config.heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, config.heads, dim if config.bridge else config.encoder.dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, config.hidden, make_act(config.act))
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, pieces: KeysValues, picture: KeysValues, bias: Tensor | None = None) -> Tensor:
        """B T D -> B T D; `pieces`: keys and values of everything written so far, these T included."""
        x = self.norm1(x + self.self_attn(x, pieces, bias=bias))
        x = self.norm2(x + self.cross_attn(x, picture))
        out: Tensor = self.norm3(x + self.mlp(x))
        return out


class TrOcr(nn.Module):
    """See the module docstring. `forward(B 3 H W, pieces B T) -> logits B T V`: all places at once, each seeing the
    pieces up to it (teacher forcing); `read` writes by itself."""

    def __init__(self, config: TrOcrConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ViT(config.encoder)
        self.bridge = nn.Linear(config.encoder.dim, config.dim) if config.bridge else nn.Identity()
        self.embed = nn.Embedding(config.vocabulary, config.dim)
        self.positions = nn.Embedding(_BEFORE + config.positions, config.dim) if config.learned else None
        if self.positions is None:
            table = _sines(_BEFORE + config.positions, config.dim)
            self.register_buffer("sines", table, persistent=False)
        self.embed_norm = nn.LayerNorm(config.dim) if config.embed_norm else nn.Identity()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.depth))
        self.head = nn.Linear(config.dim, config.vocabulary, bias=False)

    def encode(self, x: Tensor) -> list[KeysValues]:
        """B 3 H W -> keys and values of the picture for every layer."""
        tokens = self.bridge(self.encoder.forward_features(x).tokens)  # -> B N C
        return [layer.cross_attn.keys_values(tokens) for layer in self._layers()]

    def forward(self, x: Tensor, pieces: Tensor) -> Tensor:
        picture = self.encode(x)
        y = self._embedded(pieces, 0)  # B T -> B T D
        bias = causal_bias(pieces.shape[1], y)
        for layer, seen in zip(self._layers(), picture, strict=True):
            y = layer(y, layer.self_attn.keys_values(y), seen, bias)
        logits: Tensor = self.head(y)  # -> B T V
        return logits

    @torch.inference_mode()
    def read(self, x: Tensor, *, start: int, end: int, limit: int) -> tuple[Tensor, Tensor]:
        """The likeliest piece at every step, B 3 H W -> (pieces B T, T <= `limit`, without `start`; chances B of the
        whole line, its `end` included, 0 where it was not reached). Behind its end a line goes on with `end`."""
        if not 1 <= limit <= self.config.positions:
            raise UsageError(f"at most {limit} pieces", hint=f"1 to {self.config.positions}")
        picture = self.encode(x)
        kept: list[KeysValues | None] = [None] * len(self.layers)
        piece = torch.full((len(x), 1), start, dtype=torch.long, device=x.device)
        ended = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        chance = torch.zeros(len(x), device=x.device)
        written = []
        for place in range(limit):
            best, found = self._step(piece, place, picture, kept).log_softmax(dim=-1).max(dim=-1)  # B V -> B
            chance = chance + torch.where(ended, 0.0, best)
            found = torch.where(ended, end, found)
            written.append(found)
            ended = ended | (found == end)
            if ended.all():
                break
            piece = found[:, None]
        return torch.stack(written, dim=1), chance.exp() * ended

    def _step(
        self, piece: Tensor, place: int, picture: list[KeysValues], kept: list[KeysValues | None]
    ) -> Tensor:  # fmt: skip
        """Logits B V of what follows `piece` B 1; `kept` grows by its keys and values."""
        y = self._embedded(piece, place)
        for number, layer in enumerate(self._layers()):
            k, v = layer.self_attn.keys_values(y)
            before = kept[number]
            if before is not None:
                k, v = torch.cat((before[0], k), dim=2), torch.cat((before[1], v), dim=2)  # B h t d -> B h t+1 d
            kept[number] = (k, v)
            y = layer(y, (k, v), picture[number])
        logits: Tensor = self.head(y[:, 0])  # B 1 D -> B V
        return logits.float()

    def _embedded(self, pieces: Tensor, first: int) -> Tensor:
        """B T -> B T D; `first`: the place of the first of them."""
        x = self.embed(pieces) * (math.sqrt(self.config.dim) if self.config.scaled else 1.0)
        table = self.get_buffer("sines") if self.positions is None else self.positions.weight
        rows = table[_BEFORE + first : _BEFORE + first + pieces.shape[1]]  # T D
        out: Tensor = self.embed_norm(x + rows)
        return out

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]


def _sines(rows: int, dim: int) -> Tensor:
    """rows dim: sines, then cosines, of wavelengths from 2 pi to 20000 pi in a geometric row (fairseq's form of Vaswani
    et al. 2017, section 3.5); an odd `dim` ends with zeros."""
    half = dim // 2
    rates = torch.exp(torch.arange(half) * (-math.log(10000) / max(half - 1, 1)))
    angles = torch.arange(rows)[:, None] * rates  # rows half
    return torch.cat((angles.sin(), angles.cos(), torch.zeros(rows, dim % 2)), dim=1)
