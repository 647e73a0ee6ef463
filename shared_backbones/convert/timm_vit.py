"""timm's VisionTransformer family: ViT (AugReg), DeiT, DeiT III, DINO, DINOv2 with and without registers, MAE, CLIP,
SigLIP. timm itself is not imported: the configuration is read off a model that the caller made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.layers.act import Act
from vitapps.shared_backbones.layers.norm import Norm
from vitapps.shared_backbones.models.vit import ViTConfig

ACTS: dict[str, Act] = {
    "GELU": "gelu",
    "GELUTanh": "gelu_tanh",
    "QuickGELU": "quick_gelu",
    "SiLU": "silu",
    "ReLU": "relu",
}
NORMS: dict[str, Norm] = {"LayerNorm": "layernorm", "RmsNorm": "rmsnorm", "RMSNorm": "rmsnorm"}
_POOLS = {"token": "cls", "avg": "mean", "map": "attention", "": "none"}


def config_from_timm_vit(model: Any) -> ViTConfig:
    """The ViTConfig of a `timm.models.VisionTransformer`; UsageError for a variant that the plain ViT is not."""
    require_kind(model, {"VisionTransformer", "VisionTransformerDistilled"}, {"Block"}, {"Attention"})
    distilled = hasattr(model, "dist_token")
    block = model.blocks[0]
    return ViTConfig(
        **embedding_settings(model),
        **mlp_settings(block.mlp, model.embed_dim),
        class_token=model.cls_token is not None,
        registers=model.num_reg_tokens + int(distilled),
        pos="none" if model.pos_embed is None else "learned",
        qkv_bias=block.attn.qkv.bias is not None,
        qk_norm=is_module(block.attn.q_norm),
        attn_norm=is_module(block.attn.norm),
        layer_scale=block.ls1.init_values if is_module(block.ls1) else None,
        pool="prefix" if distilled else pool_name(model),
        num_classes=model.head.out_features if is_module(model.head) else 0,
    )


def convert_timm_vit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm VisionTransformer state -> ours. The two heads of a distilled DeiT become one over both tokens, whose value
    is their mean (DeiT, Touvron et al. 2021, section 3)."""
    renamed = {rename_key(key): value for key, value in state.items()}
    if "dist_token" not in renamed:
        return renamed
    renamed["reg_token"] = renamed.pop("dist_token")
    if "head_dist.weight" in renamed:
        pairs = [(renamed.pop(f"head.{part}"), renamed.pop(f"head_dist.{part}")) for part in ("weight", "bias")]
        renamed["head.weight"] = torch.cat(pairs[0], dim=1) / 2  # two of K C -> K 2C
        renamed["head.bias"] = (pairs[1][0] + pairs[1][1]) / 2
    return renamed


def rename_key(key: str) -> str:
    """timm's names that differ from ours."""
    if key == "pos_embed":
        return "pos.learned.weight"
    return "pool." + key.removeprefix("attn_pool.") if key.startswith("attn_pool.") else key


def require_kind(model: Any, kinds: set[str], blocks: set[str], attentions: set[str]) -> None:
    """UsageError where model, block or attention are of another class, or where an option changes the arithmetic."""
    block = model.blocks[0]
    for part, known in ((model, kinds), (block, blocks), (getattr(block, "attn", block), attentions)):
        if type(part).__name__ not in known:
            refuse(model, f"its {type(part).__name__}")
    embed = model.patch_embed
    plain = type(embed).__name__ == "PatchEmbed" and hasattr(embed.proj, "weight")
    if not plain or is_module(getattr(embed, "norm", None)):
        refuse(model, "its patch embedding")
    if getattr(model, "pool_include_prefix", False):
        refuse(model, "pooling over prefix tokens")
    if getattr(block.attn, "gate", None) is not None:
        refuse(model, "gated attention")


def refuse(model: Any, what: str) -> None:
    """UsageError: the plain ViT has no `what`."""
    raise UsageError(
        f"{type(model).__name__}: {what} has no counterpart in the plain ViT", hint="choose a plain ViT variant"
    )


def embedding_settings(model: Any) -> dict[str, Any]:
    """Fields that both timm families spell the same way. Pixels beyond whole patches, which timm's convolution skips
    (384 by 14), are no part of `image_size`."""
    weight = model.patch_embed.proj.weight  # dim in_chans *patch
    patch = tuple(weight.shape[2:])
    norm = model.blocks[0].norm1
    return {
        "in_chans": weight.shape[1],
        "image_size": tuple(side // step * step for side, step in zip(model.patch_embed.img_size, patch, strict=True)),
        "patch": patch,
        "patch_bias": model.patch_embed.proj.bias is not None,
        "dim": weight.shape[0],
        "depth": len(model.blocks),
        "heads": model.blocks[0].attn.num_heads,
        "pos_prefix": not model.no_embed_class,
        "norm": NORMS[type(norm).__name__],
        "eps": norm.eps,
        "pre_norm": is_module(model.norm_pre),
        "final_norm": is_module(model.norm),
        "fc_norm": is_module(model.fc_norm),
    }


def mlp_settings(mlp: Any, dim: int) -> dict[str, Any]:
    """Kind, width and activation of timm's Mlp, GluMlp and SwiGLU."""
    kind = type(mlp).__name__
    act = ACTS.get(type(mlp.act).__name__)
    if act is None or kind not in ("Mlp", "GluMlp", "SwiGLU"):
        raise UsageError(f"timm MLP {kind} with {type(mlp.act).__name__}", hint="choose a plain ViT variant")
    if kind != "Mlp" and (act != "silu" or getattr(mlp, "gate_last", False)):
        raise UsageError(f"timm MLP {kind} gated by {act}", hint="choose a plain ViT variant")
    return {
        "mlp": "mlp" if kind == "Mlp" else "swiglu",
        "mlp_ratio": mlp.fc2.in_features / dim,
        "mlp_norm": is_module(mlp.norm),
        "act": act,
    }


def pool_name(model: Any) -> str:
    """Our name of timm's `global_pool`; UsageError for one that we do not have."""
    if model.global_pool not in _POOLS:
        refuse(model, f"pooling '{model.global_pool}'")
    if model.attn_pool is not None and model.attn_pool.num_heads != model.blocks[0].attn.num_heads:
        refuse(model, "attention pooling with another number of heads")
    return _POOLS[model.global_pool]


def is_module(part: Any) -> bool:
    """True for a layer that does something."""
    return part is not None and type(part).__name__ != "Identity"
