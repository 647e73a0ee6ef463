"""SimVOS: the query frame and reference frames with their masks through one plain ViT; what is the object is decoded.

    query        B 3 H W           reference      B R 3 H W, mask B R 1 H W in 0..1
    tokens       patches of all frames by one embedding; + the mask's own patches on reference tokens; + one position
                 table for all, + a type (query, reference)
    first blocks within each frame alone (`within` of them), then over all frames together
    refinement   between both, a reference frame becomes `prototypes` tokens: means of its tokens, weighted for its
                 foreground half of them and for its background the others, by learned queries
    decoder      query tokens, upsampled by transposed convolutions, to logits B 1 H W

Features and matching come from the same attention (Wu et al. 2023, section 3). Without the mask's patches nothing knows
the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.layers.attention import tie_queries_to_keys
from vitapps.shared_backbones.layers.patch_embed import PatchEmbed
from vitapps.shared_backbones.models.vit import Block, ViT, ViTConfig
from vitapps.shared_backbones.posenc._protocol import PositionEncoding
from vitapps.shared_backbones.posenc.sincos import sincos_table

CARD = {
    "id": "S275",
    "name": "simvos",
    "family": "models",
    "paper": "Wu et al. 2023, SimVOS, arXiv:2308.09903",
    "equation": "section 3.1 (joint extraction and matching), 3.2 (within-frame attention, token refinement)",
    "deviations": "prototypes by one cross-attention under the mask's share; light decoder; queries start tied to keys",
    "slots": [],
    "cost": "O(within R N^2 + (depth - within) (N + R P)^2) attention, P prototypes",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SimVosConfig:
    """`size` H W in pixels, multiples of `patch`; `within`: blocks in which frames do not see each other; `prototypes`:
    tokens that stand for a reference frame after them, an even number; 0: all of its tokens."""

    size: tuple[int, int] = (256, 256)
    patch: int = 16
    dim: int = 192
    depth: int = 8
    heads: int = 3
    mlp_ratio: float = 4.0
    within: int = 3
    prototypes: int = 0

    def __post_init__(self) -> None:
        if any(side % self.patch for side in self.size):
            raise UsageError(f"size {self.size} is not a multiple of patch {self.patch}", hint="choose another size")
        if not 0 <= self.within <= self.depth:
            raise UsageError(f"within is {self.within} of {self.depth} blocks", hint=f"0 to {self.depth}")
        if self.prototypes % 2:
            raise UsageError(f"prototypes is {self.prototypes}", hint="an even number: half of them for the object")
        if self.patch & (self.patch - 1):
            raise UsageError(f"patch {self.patch}", hint="a power of two, which the decoder doubles up to")

    @property
    def grid(self) -> tuple[int, int]:
        """Lines and columns of patches."""
        return self.size[0] // self.patch, self.size[1] // self.patch


class SimVos(nn.Module):
    """See the module docstring. `forward(B 4+4R H W) -> logits B 1 H W`: the channels are red, green, blue (0..1) and
    an empty one of the query, then red, green, blue and mask of each reference; one tensor, as engines take it."""

    def __init__(self, config: SimVosConfig) -> None:
        super().__init__()
        self.config = config
        dim, patch = config.dim, (config.patch, config.patch)
        self.patch_embed = PatchEmbed(3, dim, patch)
        self.mask_embed = PatchEmbed(1, dim, patch, bias=False)
        self.position = nn.Parameter(0.2 * sincos_table(dim, config.grid, 100.0))  # 1 N C
        self.kind = nn.Parameter(torch.zeros(2, dim))  # query, reference
        nn.init.trunc_normal_(self.kind, std=0.1)
        self.blocks = nn.ModuleList(Block(_block_config(config), index) for index in range(config.depth))
        self.refine = TokenRefinement(dim, config.heads, config.prototypes) if config.prototypes else None
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder = mask_decoder(dim, config.patch)
        self._initialise()

    def forward(self, frames: Tensor) -> Tensor:
        parts = frames.unflatten(1, (-1, 4))  # B 1+R 4 H W
        return self.segment(parts[:, 0, :3], parts[:, 1:, :3], parts[:, 1:, 3:])

    def segment(self, query: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """B 3 H W, B R 3 H W, B R 1 H W -> logits B 1 H W."""
        x = self.query_tokens(query, reference, mask)
        out: Tensor = self.decoder(self.norm(x).transpose(1, 2).unflatten(2, self.config.grid))  # B N C -> B 1 H W
        return out

    def query_tokens(self, query: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """The query's tokens B N C after all blocks, before the norm."""
        frames = self.embed(query, reference, mask)  # B F N C, the query first
        for block in self.blocks[: self.config.within]:
            mixed, _ = block(frames.flatten(0, 1), None, None, None)
            frames = mixed.unflatten(0, frames.shape[:2])
        number = frames.shape[2]
        known = frames[:, 1:]
        if self.refine is not None:
            known = self.refine(known, self.share(mask))  # B R N C -> B R P C
        x = torch.cat([frames[:, 0], known.flatten(1, 2)], dim=1)  # -> B N+R*P C
        for block in self.blocks[self.config.within :]:
            x, _ = block(x, None, None, None)
        return x[:, :number]

    def embed(self, query: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
        """Tokens of all frames with position, type and mask, B 1+R N C."""
        count = reference.shape[1]
        frames = torch.cat([query[:, None], reference], dim=1)  # B 1+R 3 H W
        tokens, _ = self.patch_embed((frames.flatten(0, 1) - 0.45) / 0.25)
        tokens = (tokens + self.position).unflatten(0, (-1, 1 + count))
        marks, _ = self.mask_embed(mask.flatten(0, 1))
        known = tokens[:, 1:] + marks.unflatten(0, (-1, count)) + self.kind[1]
        return torch.cat([tokens[:, :1] + self.kind[0], known], dim=1)

    def share(self, mask: Tensor) -> Tensor:
        """B R 1 H W -> B R N: how much of each token is the object."""
        pooled: Tensor = functional.avg_pool2d(mask.flatten(0, 1), self.config.patch)
        out: Tensor = pooled.flatten(1).unflatten(0, mask.shape[:2])
        return out

    def _initialise(self) -> None:
        """Without tied queries and keys nothing matches for thousands of steps, where no weights are taken over."""
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            tie_queries_to_keys(block.attn.qkv.weight)  # type: ignore[union-attr, arg-type]

    def take_backbone(self, source: ViT) -> None:
        """Start from an image network (MAE, DINO, ...): its patches, positions and blocks. UsageError where they do not
        fit."""
        mine, theirs = self.config, source.config
        if (mine.dim, mine.patch, mine.heads) != (
            theirs.dim,
            theirs.patch[0],
            theirs.heads,
        ) or mine.depth > theirs.depth:
            raise UsageError(
                f"a backbone of dim {theirs.dim}, {theirs.depth} blocks, patch {theirs.patch}",
                hint=f"dim {mine.dim}, {mine.heads} heads, patch {mine.patch}, {mine.depth} blocks or more",
            )
        self.patch_embed.load_state_dict(source.patch_embed.state_dict())
        for own, other in zip(self.blocks, source.blocks, strict=False):
            own.load_state_dict(other.state_dict())
        for pos in source.pos.values():
            table = cast(PositionEncoding, pos).table(mine.grid)
            if table is not None:
                with torch.no_grad():
                    self.position.copy_(table[:, theirs.prefix if pos.prefix_table else 0 :])


class TokenRefinement(nn.Module):
    """A reference frame as a few prototypes: learned queries over its tokens, half of them where the object is, half
    where it is not. `forward(B R N C, share B R N) -> B R P C`."""

    def __init__(self, dim: int, heads: int, prototypes: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.empty(1, prototypes, dim))
        nn.init.trunc_normal_(self.query, std=1.0)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.key = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, share: Tensor) -> Tensor:
        shape = tokens.shape[:2]
        x, part = tokens.flatten(0, 1), share.flatten(0, 1)[:, None, None]  # B*R N C, B*R 1 1 N
        half = self.query.shape[1] // 2
        k = self.key(self.norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B*R h N d
        q = self.query.unflatten(-1, (self.heads, -1)).transpose(1, 2).expand(x.shape[0], -1, -1, -1)  # B*R h P d
        v = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        weight = torch.cat([part.expand(-1, -1, half, -1), (1 - part).expand(-1, -1, half, -1)], dim=2)  # B*R 1 P N
        found, _ = attend(q, k, v, bias=(weight + 1e-4).log())
        out: Tensor = found.transpose(1, 2).flatten(2).unflatten(0, shape)
        return out


def mask_decoder(dim: int, patch: int) -> nn.Sequential:
    """B C h w -> B 1 h*patch w*patch: twice the size a step by transposed convolutions, the last two bilinear."""
    layers: list[nn.Module] = []
    width, size = dim, patch
    while size > 4:
        layers += [nn.ConvTranspose2d(width, width // 2, 2, 2), nn.GroupNorm(1, width // 2), nn.GELU()]
        width, size = width // 2, size // 2
    layers += [nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, 1, 1)]
    return nn.Sequential(*layers, nn.Upsample(scale_factor=size, mode="bilinear"))


def _block_config(config: SimVosConfig) -> ViTConfig:
    return ViTConfig(
        dim=config.dim, heads=config.heads, depth=config.depth, mlp_ratio=config.mlp_ratio, image_size=config.size,
        patch=(config.patch, config.patch),
    )  # fmt: skip


def frame_example(config: SimVosConfig, references: int = 2) -> Tensor:
    """An input of the export size, 1 4+4R H W."""
    return torch.zeros(1, 4 + 4 * references, *config.size)
