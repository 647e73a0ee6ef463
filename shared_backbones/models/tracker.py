"""One-stream tracker: the tokens of a template and of a search region go through one plain ViT together.

    image           B 4 S S+T     red green blue in 0..1 and a mask channel; the search region S x S at the left, the
                                  template T x T at the top right, whose mask is 1 inside the object's box
    stem            both to stride 16 by the same convolutions
    + likeness      at stride 8: how much every place of the search region looks like each place of the object
    + position      one table; the template has the centre of it, since both crops have the same scale
    + type          search, template background, template object (by the share of the box in the token)
    plain ViT       `models/vit.py`'s blocks over all tokens
    two MLPs        on search tokens: a score, and the distances to the four sides

LoRAT (Lin et al. 2024, arXiv:2403.05231) gives the shape: shared spatial position decoupled from token type, an
anchor-free head of MLPs alone, no convolution after the patches. Deviations: a convolutional stem (Xiao et al. 2021,
arXiv:2106.14881), since nothing is pre-trained here; queries and keys start as one projection (Trockman and Kolter
2023, arXiv:2305.09828, section 4), so that tokens look for their like from the first step; search tokens are told the
correlations of their own pixels with the object's (as RAFT, Teed and Deng 2020, arXiv:2003.12039, section 3.2, does
for optical flow), which a small network would need long to find out.

Published trackers are settings of `TrackerConfig`: LoRAT itself (a DINOv2 ViT) and OSTrack (Ye et al. 2022,
arXiv:2203.11991: an MAE ViT, a position table for each crop, no token types, a convolutional centre head).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones import slots
from vitapps.shared_backbones.heads.centre import CentreHead
from vitapps.shared_backbones.layers.patch_embed import Embed, PatchEmbed
from vitapps.shared_backbones.models.vit import Block, ViTConfig
from vitapps.shared_backbones.posenc.sincos import sincos_table
from vitapps.shared_backbones.token_reduction._protocol import Reducer, restore, start

CARD = {
    "id": "S009",
    "name": "tracker",
    "family": "models",
    "paper": "Lin et al. 2024, LoRAT, arXiv:2403.05231",
    "equation": "section 3.2 (decoupled input embedding), section 3.3 (MLP-only anchor-free head)",
    "deviations": "convolutional stem; centre of the position table for the template; tied start of queries and keys",
    "slots": ["reducer"],
    "cost": "about 0.4 GFLOP a frame at search 192, template 96, dim 128, depth 4",
    "status": "core",
}

STRIDE = 16  # pixels a token of the tracker that is trained here


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerConfig:
    """`search` and `template` sides in pixels, multiples of `patch`.

    `positions`: the template has the centre or the first corner of the search region's table ("corner", LoRAT), or a
    table of its own ("separate", OSTrack). `types`: a template token is object by the share of the box in it, wholly
    where the box touches it (LoRAT), or there are no types. `match`: search tokens are told correlations at half the
    patch, which needs the "stem". `head`: two MLPs, or OSTrack's convolutions of width
    `head_dim`. `mean` and `std` of red, green and blue in 0..1. `reducer`, `reduce` and `reduce_span` as of
    `ViTConfig`: search tokens go, the template's stay, the head finds the full grid. UsageError for sizes that do not
    fit.
    """

    search: int = 192
    template: int = 96
    dim: int = 128
    depth: int = 4
    heads: int = 4
    mlp_ratio: float = 4.0
    patch: int = STRIDE
    embed: Embed = "stem"
    layer_scale: float | None = None
    positions: Literal["centre", "corner", "separate"] = "centre"
    types: Literal["share", "touched", "none"] = "share"
    match: bool = True
    head: Literal["mlp", "centre"] = "mlp"
    head_dim: int = 256
    mean: tuple[float, ...] = (0.45, 0.45, 0.45)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    reducer: str = "none"
    reduce: tuple[int, ...] = ()
    reduce_span: int = 0

    def __post_init__(self) -> None:
        if self.search % self.patch or self.template % self.patch or self.template > self.search:
            raise UsageError(f"search {self.search}, template {self.template}", hint=f"multiples of {self.patch}")
        if self.positions == "centre" and (self.grid - self.small) % 2:
            raise UsageError(f"{self.small} template tokens have no centre in {self.grid}", hint="positions='corner'")
        if self.match and self.embed != "stem":
            raise UsageError("correlations without a convolutional stem", hint="match=False")

    @property
    def grid(self) -> int:
        """Search tokens a side."""
        return self.search // self.patch

    @property
    def small(self) -> int:
        """Template tokens a side."""
        return self.template // self.patch


class Tracker(nn.Module):
    """See the module docstring. `forward(B 4 S S+T) -> (scores B 1 g g in 0..1, boxes B 4 g g)`, g = S / patch; boxes
    are x0 y0 x1 y1 in pixels of the search region."""

    def __init__(self, config: TrackerConfig) -> None:
        super().__init__()
        self.config = config
        grid, dim, small = config.grid, config.dim, config.small
        self.patch_embed = PatchEmbed(3, dim, (config.patch, config.patch), embed=config.embed)
        self.position = nn.Parameter(0.2 * sincos_table(dim, (grid, grid), 100.0).reshape(1, grid, grid, dim))
        own = config.positions == "separate"
        self.template_position = nn.Parameter(torch.zeros(1, small, small, dim)) if own else None
        self.kind = None  # search, template background, template object
        if config.types != "none":
            self.kind = nn.Parameter(nn.init.trunc_normal_(torch.zeros(3, dim), std=0.1))
        fine = (2 * small) ** 2  # places of the template at half the patch
        self.likeness = PatchEmbed(fine, dim, (2, 2)) if config.match else None
        own_config = block_config(config)
        self.blocks = nn.ModuleList(Block(own_config, index) for index in range(config.depth))
        self.reducer = None
        if config.reducer != "none":
            self.reducer = cast(Reducer, slots.load("token_reduction", config.reducer).build(own_config))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        if config.head == "mlp":
            self.score, self.sides = _mlp(dim, 1), _mlp(dim, 4)
        else:
            self.centre_head = CentreHead(dim, config.head_dim, config.search)
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)
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
        if self.reducer is None or not any(self.config.reduce):
            for block in self.blocks:
                tokens, _ = block(tokens, None, None, None)
        else:
            tokens = self._reduced(tokens, self.reducer)
        out: Tensor = self.norm(tokens)
        return out

    def _reduced(self, tokens: Tensor, reducer: Reducer) -> Tensor:
        """All blocks with fewer and fewer search tokens, B g*g + t*t C again at the end. Reducers spare a prefix, so
        the template comes first meanwhile."""
        search, template = tokens.split((self.config.grid**2, self.config.small**2), dim=1)
        tokens = torch.cat([template, search], dim=1)
        state = start(tokens, prefix=template.shape[1])
        for block in self.blocks:
            tokens, state = block(tokens, None, reducer, state)
        whole = restore(tokens, state)  # B N C -> B t*t + g*g C
        return torch.cat([whole[:, template.shape[1] :], whole[:, : template.shape[1]]], dim=1)

    def embed(self, image: Tensor) -> Tensor:
        """B 4 S S+T -> B g*g + t*t C: search tokens, then template tokens, with position and type."""
        side, small = self.config.search, self.config.template
        pixels = (image[:, :3] - cast(Tensor, self.mean)) / cast(Tensor, self.std)
        search, search_fine = self._patches(pixels[:, :, :, :side])  # B g*g C
        template, template_fine = self._patches(pixels[:, :, :small, side:])  # B t*t C
        search = search + self.position.flatten(1, 2)
        template = template + self._template_table().flatten(1, 2)
        if self.kind is not None:
            share = functional.avg_pool2d(image[:, 3:, :small, side:], self.config.patch)
            share = share.flatten(2).transpose(1, 2)  # B 1 t t -> B t*t 1
            if self.config.types == "touched":
                share = (share > 0).to(share)
            search = search + self.kind[0]
            template = template + self.kind[1] * (1 - share) + self.kind[2] * share
        if self.likeness is not None:
            alike = self._correlations(search_fine, template_fine, image[:, 3:, :small, side:])
            search = search + self.likeness(alike)[0]
        return torch.cat([search, template], dim=1)

    def _patches(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """B 3 h w -> tokens B N C, and what the stem sees at half the patch (the pixels where there is no stem)."""
        if self.likeness is None:
            return self.patch_embed(pixels)[0], pixels
        stem = cast(nn.Sequential, self.patch_embed.proj)
        fine = stem[:-4](pixels)  # the last step and the projection follow
        return stem[-4:](fine).flatten(2).transpose(1, 2), fine

    def _correlations(self, search: Tensor, template: Tensor, mask: Tensor) -> Tensor:
        """B (2t)^2 2g 2g: how alike each place of the template, a channel, and each of the search region are; every map
        has mean 0 and deviation 1 over the region, and is faded by the share of the object's box in its place."""
        search = functional.normalize(search.flatten(2), dim=1)  # B c (2g)^2
        template = functional.normalize(template.flatten(2), dim=1)  # B c (2t)^2
        alike = template.transpose(1, 2) @ search  # B (2t)^2 (2g)^2
        alike = functional.layer_norm(alike, alike.shape[-1:])
        share = functional.avg_pool2d(mask, self.config.patch // 2).flatten(2).transpose(1, 2)  # B (2t)^2 1
        out: Tensor = (alike * share).unflatten(2, (2 * self.config.grid, 2 * self.config.grid))
        return out

    def _template_table(self) -> Tensor:
        """1 t t C."""
        if self.template_position is not None:
            return self.template_position
        small = self.config.small
        first = (self.config.grid - small) // 2 if self.config.positions == "centre" else 0
        return self.position[:, first : first + small, first : first + small]

    def head(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Search tokens B g*g C -> (logits B 1 g g, boxes B 4 g g)."""
        grid, patch = self.config.grid, self.config.patch
        if self.config.head == "centre":
            found: tuple[Tensor, Tensor] = self.centre_head(tokens.transpose(1, 2).unflatten(2, (grid, grid)))
            return found
        logits = self.score(tokens).float().transpose(1, 2).unflatten(2, (grid, grid))  # -> B 1 g g
        sides = self.sides(tokens).float().sigmoid() * self.config.search  # B g*g 4, left top right bottom in pixels
        sides = sides.transpose(1, 2).unflatten(2, (grid, grid))  # -> B 4 g g
        centre = (torch.arange(grid, device=tokens.device, dtype=torch.float32) + 0.5) * patch
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
        if self.config.head == "centre":
            return
        for hidden in (self.score[0], self.score[2], self.sides[0], self.sides[2]):
            nn.init.xavier_uniform_(hidden.weight)  # type: ignore[arg-type]
        last = self.score[-1], self.sides[-1]
        nn.init.constant_(last[0].bias, -3.0)  # type: ignore[arg-type]
        nn.init.constant_(last[1].bias, -2.0)  # type: ignore[arg-type]


def _mlp(dim: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, out))


def block_config(config: TrackerConfig) -> ViTConfig:
    """What the blocks are made by: those of a ViT on the search region's grid."""
    return ViTConfig(
        image_size=(config.search, config.search), dim=config.dim, depth=config.depth, heads=config.heads,
        mlp_ratio=config.mlp_ratio, class_token=False, pos="none", pool="none", layer_scale=config.layer_scale,
        patch=(config.patch, config.patch), reducer=config.reducer, reduce=config.reduce,
        reduce_span=config.reduce_span,
    )  # fmt: skip


def frame_example(config: TrackerConfig) -> Tensor:
    """An input of the export size, 1 4 S S+T."""
    return torch.zeros(1, 4, config.search, config.search + config.template)
