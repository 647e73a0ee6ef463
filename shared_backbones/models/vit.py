"""The plain vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929) for images, volumes and clips.

The number of spatial axes is the length of `patch`: (16, 16) is an image, (8, 8, 8) a volume, (2, 16, 16) a clip in
tubelets (time first). Published variants are settings of `ViTConfig`; techniques enter through its slots `attention`,
`reducer`, `mlp`, `norm`, `pos`, `pool`, each a name. Parameters have timm's names where timm has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vitapps.errors import UsageError
from vitapps.shared_backbones import slots
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.attention.rotate import Rotation
from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.layers.act import Act, make_act
from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.layers.mlp import Mlp, SwiGLU
from vitapps.shared_backbones.layers.norm import Norm, make_norm
from vitapps.shared_backbones.layers.patch_embed import Embed, PatchEmbed
from vitapps.shared_backbones.layers.residual import DropPath, LayerScale
from vitapps.shared_backbones.pooling._protocol import Pool
from vitapps.shared_backbones.posenc._protocol import PositionEncoding
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, restore, start, turn

CARD = {
    "id": "ViT",
    "name": "vit",
    "family": "models",
    "paper": "Dosovitskiy et al. 2021, arXiv:2010.11929",
    "equation": "eq. 1-4",
    "deviations": "any number of axes; the variants of ViTConfig",
    "slots": ["attention", "reducer", "mlp", "norm", "pos", "pool"],
    "cost": "O(depth (N C^2 + N^2 C))",
    "status": "core",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ViTConfig:
    """Sizes and variants of a ViT; every combination that makes no sense raises UsageError when it is made.

    `image_size` native input size per axis; other sizes work, positions follow. `pos`: names of `posenc/` joined by
    "+", or "none"; `pos_prefix`: the learned table has rows for the prefix tokens as well; `pos_temperature` None is
    the encoding's own; `rope_reference`: grid onto which rotary positions are scaled. `pool`: a name of `pooling/`, or
    "none". `attention`: "softmax" or a name of `mixers/`. `reducer`: a name of `token_reduction/`, or "none";
    `reduce[i]` tokens go in block i (short: 0), or as many as there are; `reduce_span`: blocks after which a reducer
    that parks tokens takes them back. `mlp_ratio`: hidden width / dim, of each half of a SwiGLU.
    `final_norm` before the pooling, `fc_norm` after it. `layer_scale` None: no LayerScale.
    """

    in_chans: int = 3
    image_size: tuple[int, ...] = (224, 224)
    patch: tuple[int, ...] = (16, 16)
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    embed: Embed = "linear"
    patch_bias: bool = True
    dynamic_pad: bool = False
    class_token: bool = True
    registers: int = 0
    pos: str = "learned"
    pos_prefix: bool = True
    pos_temperature: float | None = None
    rope_reference: tuple[int, ...] | None = None
    attention: str = "softmax"
    qkv_bias: bool = True
    qk_norm: bool = False
    attn_norm: bool = False
    mlp: Literal["mlp", "swiglu"] = "mlp"
    mlp_norm: bool = False
    act: Act = "gelu"
    norm: Norm = "layernorm"
    eps: float = 1e-6
    pre_norm: bool = False
    final_norm: bool = True
    fc_norm: bool = False
    layer_scale: float | None = None
    drop_path: float = 0.0
    pool: str = "cls"
    pool_groups: int | None = None
    num_classes: int = 0
    reducer: str = "none"
    reduce: tuple[int, ...] = ()
    reduce_span: int = 0
    grad_checkpointing: bool = False

    def __post_init__(self) -> None:
        if len(self.image_size) != len(self.patch):
            raise UsageError(f"image_size {self.image_size} and patch {self.patch}", hint="give one value per axis")
        if not self.dynamic_pad and any(s % p for s, p in zip(self.image_size, self.patch, strict=True)):
            raise UsageError(
                f"image_size {self.image_size} is not a multiple of patch {self.patch}",
                hint="choose another size, or dynamic_pad=True",
            )
        if self.rope_reference is not None and len(self.rope_reference) != len(self.patch):
            raise UsageError(f"rope_reference {self.rope_reference}", hint=f"give {len(self.patch)} values")
        if any(self.reduce) and self.reducer == "none":
            raise UsageError(f"reduce {self.reduce} without a reducer", hint="name one, or leave reduce empty")
        if any(r < 0 for r in self.reduce):
            raise UsageError(f"reduce {self.reduce}", hint="give 0 or more tokens a block")
        if len(self.reduce) > self.depth:
            raise UsageError(f"reduce has {len(self.reduce)} entries for {self.depth} blocks", hint="one per block")

    @property
    def prefix(self) -> int:
        """Class and register tokens before the patches."""
        return int(self.class_token) + self.registers

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches per axis at the native size."""
        return tuple(math.ceil(size / step) for size, step in zip(self.image_size, self.patch, strict=True))


class Block(nn.Module):
    """Pre-norm transformer block; a reducer acts between its halves, on what the attention has just mixed."""

    def __init__(self, config: ViTConfig, index: int) -> None:
        super().__init__()
        dim = config.dim
        rate = config.drop_path * index / max(config.depth - 1, 1)
        self.norm1 = make_norm(config.norm, dim, config.eps)
        self.attn = _make_attention(config)
        self.ls1 = nn.Identity() if config.layer_scale is None else LayerScale(dim, config.layer_scale)
        self.norm2 = make_norm(config.norm, dim, config.eps)
        self.mlp = _make_mlp(config)
        self.ls2 = nn.Identity() if config.layer_scale is None else LayerScale(dim, config.layer_scale)
        self.drop_path = DropPath(rate)
        self.r = config.reduce[index] if index < len(config.reduce) else 0
        # Sizes and moved positions count once a token is gone: until then the plain path, bit for bit.
        self.reduced = any(config.reduce[:index])
        self.reduce, self.index = config.reduce, index

    def forward(
        self, x: Tensor, rope: Rotation | None, reducer: Reducer | None, state: TokenState | None
    ) -> tuple[Tensor, TokenState | None]:
        """B N C -> (B N-r C, state)."""
        if reducer is None or state is None:
            x, _ = self._mix(x, rope, None, ())
            return self._transform(x), state
        r = min(self.r, reducer.limit(x.shape[1] - state.prefix))
        early = reducer.stage == "before" and r > 0
        if early:
            x, state = reducer(x, state, r)
        rope = turn(rope, state) if early or self.reduced else rope
        key_size = state.size if self.reduced and reducer.proportional else None
        metric = reducer.need if r else None
        x, products = self._mix(x, rope, key_size, (metric,) if metric is not None else ())
        if not early:
            x, state = reducer(x, state, r, products.get(metric) if metric is not None else None)
        x = self._transform(x)
        if self._ends_span(reducer.span):
            x = restore(x, state)  # B N C -> B N0 C
            state = start(x, state.prefix)
        return x, state

    def _ends_span(self, span: int) -> bool:
        """True where tokens that went `span` blocks ago, this one counted, come back."""
        first = self.index - span + 1
        return span > 0 and 0 <= first < len(self.reduce) and self.reduce[first] > 0

    def _mix(
        self, x: Tensor, rope: Rotation | None, key_size: Tensor | None, need: tuple[Need, ...]
    ) -> tuple[Tensor, dict[Need, Tensor]]:
        mixed, products = self.attn(self.norm1(x), rope=rope, key_size=key_size, need=need)
        return x + self.drop_path(self.ls1(mixed)), products

    def _transform(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        return out


class ViT(nn.Module):
    """See the module docstring. `forward_features` gives tokens to heads, `forward` pools and classifies."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embed = PatchEmbed(
            config.in_chans,
            dim,
            config.patch,
            embed=config.embed,
            bias=config.patch_bias,
            dynamic_pad=config.dynamic_pad,
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if config.class_token else None
        self.reg_token = nn.Parameter(torch.zeros(1, config.registers, dim)) if config.registers else None
        names = [] if config.pos == "none" else config.pos.split("+")
        self.pos = nn.ModuleDict({name: slots.load("posenc", name).build(config) for name in names})
        self.norm_pre = make_norm(config.norm, dim, config.eps) if config.pre_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.depth))
        self.norm = make_norm(config.norm, dim, config.eps) if config.final_norm else nn.Identity()
        self.pool: Pool | None = None if config.pool == "none" else slots.load("pooling", config.pool).build(config)
        width = dim * (1 if self.pool is None else self.pool.factor)
        self.fc_norm = make_norm(config.norm, width, config.eps) if config.fc_norm else nn.Identity()
        self.head = nn.Linear(width, config.num_classes) if config.num_classes else nn.Identity()
        reducer = None if config.reducer == "none" else slots.load("token_reduction", config.reducer).build(config)
        self.reducer = cast("Reducer | None", reducer)
        self._initialise()

    def forward_features(self, x: Tensor, return_layers: Sequence[int] = ()) -> Features:
        """B in_chans *spatial -> Features; `return_layers` are block numbers from 0, negative from the end.

        UsageError where the input does not fit: number of axes, channels, whole patches (unless `dynamic_pad`), layers.
        """
        x, state, grid, intermediates = self._run(x, self._layer_numbers(return_layers))
        tokens = self._whole(x, state)
        return Features(tokens=tokens, grid=grid, prefix=self.config.prefix, intermediates=intermediates)

    def _run(
        self, x: Tensor, wanted: dict[int, int]
    ) -> tuple[Tensor, TokenState | None, tuple[int, ...], dict[int, Tensor]]:
        """All blocks and the final norm: (B N C, state, grid, intermediates), N what the reducer has left."""
        x, grid = self.embed(x)
        rope = self.rotation(grid)
        state = start(x, self.config.prefix) if self.reducer is not None else None
        intermediates: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks):
            if self.config.grad_checkpointing and self.training:
                x, state = checkpoint(block, x, rope, self.reducer, state, use_reentrant=False)
            else:
                x, state = block(x, rope, self.reducer, state)
            for name in [name for name, number in wanted.items() if number == index]:
                intermediates[name] = self._whole(x, state)
        return self.norm(x), state, grid, intermediates

    def forward_head(self, features: Features) -> Tensor:
        """Pool, norm, classify: B num_classes; B C where there are no classes; per patch (B N ...) with pool "none"."""
        if self.pool is None:
            pooled = features.tokens[:, features.prefix :]  # B N C -> B N-prefix C
        else:
            pooled = self.pool(features.tokens, features.prefix)  # B N C -> B C
        out: Tensor = self.head(self.fc_norm(pooled))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """`forward_head(forward_features(x))`; a head that reads the prefix alone needs no token put back."""
        if self.config.pool not in ("cls", "prefix"):
            return self.forward_head(self.forward_features(x))
        tokens, _, grid, _ = self._run(x, {})
        return self.forward_head(Features(tokens=tokens, grid=grid, prefix=self.config.prefix))

    def embed(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Patch tokens with prefix and added positions: B in_chans *spatial -> (B N C, grid)."""
        x, grid = self.patch_embed(x)
        tables = [(pos.prefix_table, pos.table(grid)) for pos in self._positions()]
        for with_prefix, table in tables:
            if table is not None and not with_prefix:
                x = x + table.to(x.dtype)
        prefix = [token for token in (self.cls_token, self.reg_token) if token is not None]
        if prefix:
            x = torch.cat([token.to(x.dtype).expand(x.shape[0], -1, -1) for token in prefix] + [x], dim=1)
        for with_prefix, table in tables:
            if table is not None and with_prefix:
                x = x + table.to(x.dtype)
        return self.norm_pre(x), grid

    def resize_positions(self, image_size: tuple[int, ...]) -> None:
        """Make `image_size` the native size: later forwards at it resample nothing (do this before an export)."""
        if len(image_size) != len(self.config.patch):
            raise UsageError(f"image size {image_size}", hint=f"give {len(self.config.patch)} values")
        grid = tuple(math.ceil(size / step) for size, step in zip(image_size, self.config.patch, strict=True))
        for pos in self._positions():
            pos.resize(grid)

    def _positions(self) -> list[PositionEncoding]:
        return [cast(PositionEncoding, pos) for pos in self.pos.values()]

    def rotation(self, grid: tuple[int, ...]) -> Rotation | None:
        """Rotary angles of the patches of `grid`, or None where positions are not rotary."""
        found = [turn for pos in self._positions() if (turn := pos.rotation(grid)) is not None]
        return found[0] if found else None

    def _layer_numbers(self, layers: Sequence[int]) -> dict[int, int]:
        """The name each layer was asked by -> its block number."""
        depth = self.config.depth
        for layer in layers:
            if not -depth <= layer < depth:
                raise UsageError(f"layer {layer} of a model with {depth} blocks", hint=f"0 to {depth - 1}")
        return {layer: layer % depth for layer in layers}

    def _whole(self, x: Tensor, state: TokenState | None) -> Tensor:
        """Tokens as they were before any reduction, B N0 C."""
        return restore(x, state) if state is not None and any(self.config.reduce) else x

    def _initialise(self) -> None:
        """Truncated normal of 0.02 for linear layers (DeiT), 1 / sqrt(fan in) for patches; norms and scales stay."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for token in (self.cls_token, self.reg_token):
            if token is not None:
                nn.init.trunc_normal_(token, std=0.02)


def _make_attention(config: ViTConfig) -> nn.Module:
    if config.attention != "softmax":
        return cast(nn.Module, slots.load("mixers", config.attention).build(config))
    return Attention(
        config.dim,
        config.heads,
        qkv_bias=config.qkv_bias,
        qk_norm=config.qk_norm,
        out_norm=config.attn_norm,
        norm=config.norm,
        eps=config.eps,
    )


def _make_mlp(config: ViTConfig) -> nn.Module:
    hidden = round(config.dim * config.mlp_ratio)
    norm = make_norm(config.norm, hidden, config.eps) if config.mlp_norm else None
    if config.mlp == "swiglu":
        return SwiGLU(config.dim, hidden, norm)
    return Mlp(config.dim, hidden, make_act(config.act), norm)
