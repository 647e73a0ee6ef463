"""timm's Eva family: EVA and EVA-02 (rotary positions, SwiGLU, sub-LN), EVA-02-CLIP towers. timm is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitapps.shared_backbones.convert.timm_vit import (
    embedding_settings,
    is_module,
    mlp_settings,
    pool_name,
    refuse,
    rename_key,
    require_kind,
)
from vitapps.shared_backbones.models.vit import ViTConfig


def config_from_timm_eva(model: Any) -> ViTConfig:
    """The ViTConfig of a `timm.models.Eva`; UsageError for post-norm blocks, mixed rotations, grouped queries."""
    require_kind(model, {"Eva"}, {"EvaBlock"}, {"EvaAttention"})
    block = model.blocks[0]
    if (block.gamma_1 is None) != (block.gamma_2 is None):
        refuse(model, "LayerScale on one branch")
    registers = 0 if model.reg_token is None else model.reg_token.shape[1]
    names = ["learned"] * (model.pos_embed is not None) + ["rope"] * (model.rope is not None)
    bias = block.attn.q_bias is not None or (block.attn.q_proj is not None and block.attn.q_proj.bias is not None)
    return ViTConfig(
        **embedding_settings(model),
        **mlp_settings(block.mlp, model.embed_dim),
        **_rope_settings(model),
        class_token=model.cls_token is not None,
        registers=registers,
        pos="+".join(names) or "none",
        qkv_bias=bias,
        qk_norm=is_module(block.attn.q_norm),
        attn_norm=is_module(block.attn.norm),
        layer_scale=block.init_values if block.gamma_1 is not None else None,
        pool=pool_name(model),
        num_classes=model.head.out_features if is_module(model.head) else 0,
    )


def convert_timm_eva(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm Eva state -> ours: separate projections are joined, the key bias that EVA leaves out is zero
    (and, unlike EVA's, free to learn)."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        stem, _, name = key.rpartition(".")
        if name in ("gamma_1", "gamma_2"):
            found[f"{stem}.ls{name[-1]}.gamma"] = value
        elif name == "q_bias":
            found[f"{stem}.qkv.bias"] = _join_qkv([value, None, state[f"{stem}.v_bias"]], value)
        elif name == "v_bias" or stem.endswith(("k_proj", "v_proj", "fc1_x")):
            continue  # joined below, with the first of their group
        elif stem.endswith("q_proj"):
            attn = stem.removesuffix("q_proj")
            found[f"{attn}qkv.{name}"] = _join_qkv([state.get(f"{attn}{part}_proj.{name}") for part in "qkv"], value)
        elif stem.endswith("fc1_g"):
            mlp = stem.removesuffix("fc1_g")
            found[f"{mlp}fc1.{name}"] = torch.cat((value, state[f"{mlp}fc1_x.{name}"]))
        elif not key.startswith("rope."):
            found[rename_key(key)] = value
    return found


def _join_qkv(parts: list[Tensor | None], like: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(like) if part is None else part for part in parts])  # three of C ... -> 3C ...


def _rope_settings(model: Any) -> dict[str, Any]:
    rope = model.rope
    if rope is None:
        return {}
    if type(rope).__name__ != "RotaryEmbeddingCat" or rope.in_pixels or rope.grid_offset or rope.grid_indexing != "ij":
        refuse(model, f"positions by {type(rope).__name__} with its settings")
    if model.blocks[0].attn.rotate_half:
        refuse(model, "rotation by halves")
    reference = rope.ref_feat_shape
    return {
        "pos_temperature": float(rope.temperature),
        "rope_reference": None if reference is None else tuple(reference),
    }
