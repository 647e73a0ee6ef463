"""One-stream tracker: the tokens of a template and of a search region go through one plain ViT together.

    image           B 4 S S+T     red green blue in 0..1 and a mask channel; the search region S x S at the left, the
                                  template T x T at the top right, whose mask is 1 inside the object's box
    stem            both to stride 16 by the same convolutions
    + position      one table; the template has the centre of it, since both crops have the same scale
    + type          search, template background, template object (by the share of the box in the token)
    plain ViT       `models/vit.py`'s blocks over all tokens
    two MLPs        on search tokens: a score, and the distances to the four sides

LoRAT (Lin et al. 2024, arXiv:2403.05231) gives the shape: shared spatial position decoupled from token type, an
anchor-free head of MLPs alone, no convolution after the patches. Deviations: a convolutional stem (Xiao et al. 2021,
arXiv:2106.14881), since nothing is pre-trained here; queries and keys start as one projection (Trockman and Kolter
2023, arXiv:2305.09828, section 4), so that tokens look for their like from the first step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.layers.patch_embed import PatchEmbed
from vitapps.shared_backbones.models.vit import Block, ViTConfig
from vitapps.shared_backbones.posenc.sincos import sincos_table

CARD = {
    "id": "S009",
    "name": "tracker",
    "family": "models",
    "paper": "Lin et al. 2024, LoRAT, arXiv:2403.05231",
    "equation": "section 3.2 (decoupled input embedding), section 3.3 (MLP-only anchor-free head)",
    "deviations": "convolutional stem; centre of the position table for the template; tied start of queries and keys",
    "slots": [],
    "cost": "about 0.4 GFLOP a frame at search 192, template 96, dim 128, depth 4",
    "status": "core",
}

STRIDE = 16  # pixels a token


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerConfig:
    """`search` and `template` sides in pixels, multiples of 16, with an even difference in tokens."""

    search: int = 192
    template: int = 96
    dim: int = 128
    depth: int = 4
    heads: int = 4
    mlp_ratio: float = 4.0

    @property
    def grid(self) -> int:
        """Search tokens a side."""
        return self.search // STRIDE


class Tracker(nn.Module):
    """See the module docstring. `forward(B 4 S S+T) -> (scores B 1 g g in 0..1, boxes B 4 g g)`, g = S / 16; boxes are
    x0 y0 x1 y1 in pixels of the search region."""

    def __init__(self, config: TrackerConfig) -> None:
        super().__init__()
        self.config = config
        grid, dim = config.grid, config.dim
        self.patch_embed = PatchEmbed(3, dim, (STRIDE, STRIDE), embed="stem")
        self.position = nn.Parameter(0.2 * sincos_table(dim, (grid, grid), 100.0).reshape(1, grid, grid, dim))
        self.kind = nn.Parameter(torch.zeros(3, dim))  # search, template background, template object
        nn.init.trunc_normal_(self.kind, std=0.1)
        self.blocks = nn.ModuleList(Block(_vit_config(config), index) for index in range(config.depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.score = _mlp(dim, 1)
        self.sides = _mlp(dim, 4)
        self._initialise()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.forward_logits(image)
        return logits.sigmoid(), boxes

    def forward_logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, scores before the sigmoid."""
        return self.head(self.tokens(image)[:, : self.config.grid**2])

    def tokens(self, image: Tensor) -> Tensor:
        """B 4 S S+T -> B g*g + t*t C: search tokens, then template tokens, after all blocks and the norm."""
        tokens = self.embed(image)
        for block in self.blocks:
            tokens, _ = block(tokens, None, None, None)
        out: Tensor = self.norm(tokens)
        return out

    def embed(self, image: Tensor) -> Tensor:
        """B 4 S S+T -> B g*g + t*t C: search tokens, then template tokens, with position and type."""
        side, small = self.config.search, self.config.template
        pixels = (image[:, :3] - 0.45) / 0.25
        search, _ = self.patch_embed(pixels[:, :, :, :side])  # -> B g*g C
        template, _ = self.patch_embed(pixels[:, :, :small, side:])  # -> B t*t C
        share = functional.avg_pool2d(image[:, 3:, :small, side:], STRIDE).flatten(2).transpose(1, 2)  # -> B t*t 1
        margin = (side - small) // STRIDE // 2
        inner = self.position[:, margin : margin + small // STRIDE, margin : margin + small // STRIDE]
        search = search + self.position.flatten(1, 2) + self.kind[0]
        template = template + inner.flatten(1, 2) + self.kind[1] * (1 - share) + self.kind[2] * share
        return torch.cat([search, template], dim=1)

    def head(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Search tokens B g*g C -> (logits B 1 g g, boxes B 4 g g)."""
        grid = self.config.grid
        logits = self.score(tokens).float().transpose(1, 2).unflatten(2, (grid, grid))  # -> B 1 g g
        sides = self.sides(tokens).float().sigmoid() * self.config.search  # B g*g 4, left top right bottom in pixels
        sides = sides.transpose(1, 2).unflatten(2, (grid, grid))  # -> B 4 g g
        centre = (torch.arange(grid, device=tokens.device, dtype=torch.float32) + 0.5) * STRIDE
        at = torch.stack([centre[None, :].expand(grid, grid), centre[:, None].expand(grid, grid)])  # 2 g g
        return logits, torch.cat([at - sides[:, :2], at + sides[:, 2:]], dim=1)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=(2 / module.weight[0].numel()) ** 0.5)
        dim, heads = self.config.dim, self.config.heads
        for block in self.blocks:
            weight: Tensor = block.attn.qkv.weight  # type: ignore[union-attr, assignment]
            for head in range(heads):
                rows = slice(head * dim // heads, (head + 1) * dim // heads)
                tied = nn.init.orthogonal_(torch.empty(dim // heads, dim))
                with torch.no_grad():
                    weight[:dim][rows] = tied
                    weight[dim : 2 * dim][rows] = tied
        for hidden in (self.score[0], self.score[2], self.sides[0], self.sides[2]):
            nn.init.xavier_uniform_(hidden.weight)  # type: ignore[arg-type]
        last = self.score[-1], self.sides[-1]
        nn.init.constant_(last[0].bias, -3.0)  # type: ignore[arg-type]
        nn.init.constant_(last[1].bias, -2.0)  # type: ignore[arg-type]


def _mlp(dim: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, out))


def _vit_config(config: TrackerConfig) -> ViTConfig:
    return ViTConfig(
        image_size=(config.search, config.search), dim=config.dim, depth=config.depth, heads=config.heads,
        mlp_ratio=config.mlp_ratio, class_token=False, pos="none", pool="none",
    )  # fmt: skip


def frame_example(config: TrackerConfig) -> Tensor:
    """An input of the export size, 1 4 S S+T."""
    return torch.zeros(1, 4, config.search, config.search + config.template)
