"""PredFormer: the next frames of a clip from its last ones, by gated transformer blocks in space and in time alone.

    clip            B T C H W     values in 0..1
    patches         of every frame by itself; + sines of time, line and column
    blocks          by `layout`, repeated: S mixes the patches of one frame, T the frames of one patch, F all of both;
                    each is x + attention(norm(x)), then x + SwiGLU(norm(x))
    norm, linear    frame t of the input becomes frame t + T

The nine layouts of the paper are words: "F" (full); "SSTT" run once (factorised, space first), "TTSS" (time first);
"ST" and "TS", "STS" and "TST", "STTS" and "TSST" repeated (interleaved). Longer horizons: feed what was predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.layers.attention import tie_queries_to_keys
from vitapps.shared_backbones.layers.patch_embed import PatchEmbed
from vitapps.shared_backbones.models.vit import Block, ViTConfig
from vitapps.shared_backbones.posenc.sincos import sincos_table

CARD = {
    "id": "S253",
    "name": "predformer",
    "family": "models",
    "paper": "Tang et al. 2024, PredFormer, arXiv:2410.04733",
    "equation": "section 3.2 (gated transformer block), section 3.3 (full, factorised, interleaved attention)",
    "deviations": "queries and keys start as one projection (arXiv:2305.09828, section 4); no drop-out",
    "slots": [],
    "cost": "O(blocks (N C^2 + N M C)), N tokens, M patches of a frame (S), frames (T) or both (F)",
    "status": "core",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PredFormerConfig:
    """`frames` in, as many out; `size` H W in pixels, a multiple of `patch`; `layout` of S, T and F, `repeats` times;
    `mlp_ratio`: width of each half of the SwiGLU by `dim`."""

    frames: int = 10
    in_chans: int = 1
    size: tuple[int, int] = (64, 64)
    patch: int = 8
    dim: int = 256
    heads: int = 8
    layout: str = "TSST"
    repeats: int = 6
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        if not self.layout or set(self.layout) - set("STF"):
            raise UsageError(f"layout '{self.layout}'", hint="letters S (space), T (time), F (full): TSST")
        if any(side % self.patch for side in self.size):
            raise UsageError(f"size {self.size} is not a multiple of patch {self.patch}", hint="choose another size")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Frames, lines and columns of patches."""
        return self.frames, self.size[0] // self.patch, self.size[1] // self.patch


class PredFormer(nn.Module):
    """See the module docstring. `forward(B T C H W) -> B T C H W`, the T frames that follow, not clipped to 0..1."""

    position: Tensor

    def __init__(self, config: PredFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.in_chans, config.dim, (config.patch, config.patch))
        self.register_buffer("position", 0.2 * sincos_table(config.dim, config.grid, 100.0), persistent=False)
        self.axes = config.layout * config.repeats
        self.blocks = nn.ModuleList(Block(_block_config(config), index) for index in range(len(self.axes)))
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.head = nn.Linear(config.dim, config.in_chans * config.patch**2)
        self._initialise()

    def forward(self, clip: Tensor) -> Tensor:
        return self.pixels(self.tokens(clip))

    def tokens(self, clip: Tensor) -> Tensor:
        """B T C H W -> B T N dim after all blocks, before the norm."""
        times, lines, columns = self.config.grid
        flat, _ = self.patch_embed(clip.flatten(0, 1))  # -> B*T N dim
        x: Tensor = flat.unflatten(0, (-1, times)) + self.position.to(flat.dtype).reshape(1, times, lines * columns, -1)
        for axis, block in zip(self.axes, self.blocks, strict=True):
            x = mix(block, x, axis)
        return x

    def pixels(self, tokens: Tensor) -> Tensor:
        """B T N dim -> B T C H W: every token is a patch of its frame."""
        (_, lines, columns), side = self.config.grid, self.config.patch
        x: Tensor = self.head(self.norm(tokens)).unflatten(3, (self.config.in_chans, side, side))  # -> B T N C p p
        x = x.unflatten(2, (lines, columns)).permute(0, 1, 4, 2, 5, 3, 6)  # -> B T C h p w p
        return x.flatten(5, 6).flatten(3, 4)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        weight: Tensor = self.patch_embed.proj.weight  # type: ignore[assignment]
        nn.init.xavier_uniform_(weight.flatten(1))
        for block in self.blocks:
            tie_queries_to_keys(block.attn.qkv.weight)  # type: ignore[union-attr, arg-type]


def mix(block: nn.Module, x: Tensor, axis: str) -> Tensor:
    """A gated block over patches of each frame (S), frames of each patch (T) or all tokens (F): B T N C -> B T N C."""
    batch, times, places, _ = x.shape
    if axis == "S":
        y, _ = block(x.flatten(0, 1), None, None, None)  # B*T N C
        return torch.unflatten(y, 0, (batch, times))
    if axis == "T":
        y, _ = block(x.transpose(1, 2).flatten(0, 1), None, None, None)  # B*N T C
        return torch.unflatten(y, 0, (batch, places)).transpose(1, 2)
    y, _ = block(x.flatten(1, 2), None, None, None)  # B T*N C
    return torch.unflatten(y, 1, (times, places))


def _block_config(config: PredFormerConfig) -> ViTConfig:
    return ViTConfig(
        dim=config.dim, heads=config.heads, mlp_ratio=config.mlp_ratio, mlp="swiglu",
        depth=len(config.layout) * config.repeats, image_size=config.size, patch=(config.patch, config.patch),
    )  # fmt: skip


def clip_example(config: PredFormerConfig) -> Tensor:
    """An input of the export size, 1 T C H W."""
    return torch.zeros(1, config.frames, config.in_chans, *config.size)
