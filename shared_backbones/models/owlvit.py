"""OWL-ViT: objects that are named by words, or by another object, found in a picture (Minderer et al. 2022).

picture      B 3 H W               CLIP's image tower without its pooling
tokens       B N C                 each patch, times the class token, normed: one candidate each (section 3.1)
queries      Q D                   words by CLIP's text tower, or embeddings of objects (image-conditioned)
answers      logits B N Q, boxes B N 4, embeddings B N D
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vitapps.shared_backbones.layers.act import Act, make_act
from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "OWL-ViT",
    "name": "owlvit",
    "family": "models",
    "paper": "Minderer et al. 2022, arXiv:2205.06230",
    "equation": "section 3.1 (a box and a class embedding of every token; text embeddings as classifier)",
    "deviations": "none at inference; OWLv2's objectness is not computed; the training is not here",
    "slots": ["attention", "reducer", "mlp", "norm", "pos"],
    "cost": "that of the ViT over all patches of the picture; the heads add 3 C^2 a patch",
    "status": "verified",
}
_SMALL = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """CLIP's text tower: `vocabulary` pieces, sentences of up to `length` pieces, start and end included."""

    vocabulary: int = 49408
    length: int = 16
    dim: int = 512
    depth: int = 12
    heads: int = 8
    mlp_ratio: float = 4.0
    act: Act = "quick_gelu"
    eps: float = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class OwlViTConfig:
    """`image`: a ViT with class token, learned positions and `pool` "none"; `embedding` D: width of the queries."""

    image: ViTConfig
    text: TextConfig
    embedding: int = 512


class TextBlock(nn.Module):
    """Pre-norm block whose tokens see what comes before them."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.dim, eps=config.eps)
        self.attn = Attention(config.dim, config.heads)
        self.norm2 = nn.LayerNorm(config.dim, eps=config.eps)
        self.mlp = Mlp(config.dim, round(config.dim * config.mlp_ratio), make_act(config.act))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """B L C; `mask` 1 1 L L is added to the logits of the attention."""
        x = x + self.attn(self.norm1(x), bias=mask)[0]
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TextTower(nn.Module):
    """`forward(pieces B L) -> B D` of length 1: the token of the end symbol, which has the highest number."""

    def __init__(self, config: TextConfig, embedding: int) -> None:
        super().__init__()
        self.pieces = nn.Embedding(config.vocabulary, config.dim)
        self.places = nn.Parameter(torch.randn(config.length, config.dim) * 0.01)
        self.blocks = nn.ModuleList(TextBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=config.eps)
        self.projection = nn.Linear(config.dim, embedding, bias=False)

    def forward(self, pieces: Tensor) -> Tensor:
        length = pieces.shape[1]
        x = self.pieces(pieces) + self.places[:length]  # B L -> B L C
        mask = torch.full((length, length), float("-inf"), device=x.device).triu(1)[None, None]
        for block in self.blocks:
            x = block(x, mask)
        last = self.norm(x)[torch.arange(len(x), device=x.device), pieces.argmax(dim=1)]  # -> B C
        return F.normalize(self.projection(last), dim=-1)


class OwlViT(nn.Module):
    """See the module docstring. Pictures of another size than the native one are taken as they are: positions follow
    by bicubic resampling with antialiasing, as in the authors' code (transformers leaves it out)."""

    def __init__(self, config: OwlViTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.image.dim
        self.image = ViT(config.image)
        self.text = TextTower(config.text, config.embedding)
        self.norm = nn.LayerNorm(dim, eps=config.image.eps)
        self.boxes = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 4))
        self.classes = nn.Linear(dim, config.embedding)
        self.shift, self.scale = nn.Linear(dim, 1), nn.Linear(dim, 1)

    def forward(self, picture: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Picture B 3 H W, queries Q D -> logits B N Q; boxes B N 4 as centre x, centre y, width, height in shares of
        the picture; embeddings B N D of length 1, which are queries for more of their kind (section 3.3)."""
        tokens, grid = self.tokens(picture)
        embeddings = self.classes(tokens)
        embeddings = embeddings / (embeddings.norm(dim=-1, keepdim=True) + _SMALL)
        return self.logits(tokens, embeddings, queries), self.places(tokens, grid), embeddings

    def tokens(self, picture: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """The candidates B N C, row after row, and their grid."""
        features = self.image.forward_features(picture)
        merged = features.tokens[:, 1:] * features.tokens[:, :1]
        return self.norm(merged), features.grid

    def logits(self, tokens: Tensor, embeddings: Tensor, queries: Tensor) -> Tensor:
        """Cosine of each candidate and query, shifted and scaled as the candidate says, B N Q."""
        queries = queries / (queries.norm(dim=-1, keepdim=True) + _SMALL)
        cosine = embeddings @ queries.transpose(-1, -2)
        logits: Tensor = (cosine + self.shift(tokens)) * (F.elu(self.scale(tokens)) + 1)
        return logits

    def places(self, tokens: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Boxes B N 4: offsets from the patch that the candidate stands for, and from its size."""
        found: Tensor = self.boxes(tokens) + _bias(grid, tokens.device)
        return found.sigmoid()


def _bias(grid: tuple[int, ...], device: torch.device) -> Tensor:
    """N 4: logits of each patch's far corner (the published networks are trained so) and of its sides."""
    rows, columns = grid
    x = (torch.arange(columns, device=device) + 1) / columns
    y = (torch.arange(rows, device=device) + 1) / rows
    corner = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)  # h w 2 -> N 2
    sides = torch.tensor([1 / columns, 1 / rows], device=device).expand_as(corner)
    share = torch.cat([corner, sides], dim=1)
    return torch.log(share + 1e-4) - torch.log1p(-share + 1e-4)
