"""The image tower of CLIP as Hugging Face transformers stores it (`CLIPVisionModel`, or the whole `CLIPModel`), which
is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.layers.act import Act
from vitapps.shared_backbones.models.vit import ViTConfig

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of RGB in 0..1, as published with CLIP
STD = (0.26862954, 0.26130258, 0.27577711)
_ACTS: dict[str, Act] = {"quick_gelu": "quick_gelu", "gelu": "gelu"}
_EMBEDDINGS = {
    "embeddings.patch_embedding.weight": "patch_embed.proj.weight",
    "embeddings.position_embedding.weight": "pos.learned.weight",
    "embeddings.class_embedding": "cls_token",
    "pre_layrnorm.": "norm_pre.",  # transformers' own spelling
    "pre_layernorm.": "norm_pre.",  # of OWL-ViT
    "post_layernorm.": "norm.",
}
_BLOCK = {"layer_norm1.": "norm1.", "layer_norm2.": "norm2.", "self_attn.out_proj.": "attn.proj."}


def config_from_hf_clip(config: Mapping[str, Any]) -> ViTConfig:
    """Of `config.json` (that of the whole model or of the tower); UsageError for another kind of model."""
    tower = config.get("vision_config", config)
    if tower.get("model_type") not in ("clip", "clip_vision_model") or tower.get("hidden_act") not in _ACTS:
        raise UsageError(f"a model of type '{config.get('model_type')}' is no CLIP tower", hint="give CLIP or timm:…")
    side, patch = int(tower["image_size"]), int(tower["patch_size"])
    return ViTConfig(
        image_size=(side, side), patch=(patch, patch), dim=int(tower["hidden_size"]), patch_bias=False,
        depth=int(tower["num_hidden_layers"]), heads=int(tower["num_attention_heads"]),
        mlp_ratio=tower["intermediate_size"] / tower["hidden_size"], act=_ACTS[tower["hidden_act"]],
        eps=float(tower.get("layer_norm_eps", 1e-5)), pre_norm=True, pool="none", num_classes=0,
    )  # fmt: skip


def convert_hf_clip_vision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of transformers -> of `models/vit.py`; the text tower and the projections are left out."""
    prefix = next((key[: key.index("embeddings.patch_embedding")] for key in state if "patch_embedding" in key), None)
    if prefix is None:
        raise UsageError("the file holds no CLIP image tower", hint="give the weights of CLIPVisionModel or CLIPModel")
    mine = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    found: dict[str, Tensor] = {}
    for key, value in mine.items():
        if ".self_attn." in key and ".out_proj." not in key:
            continue
        name = _renamed(key)
        if name:
            found[name] = value
    found["cls_token"] = found["cls_token"].reshape(1, 1, -1)
    found["pos.learned.weight"] = found["pos.learned.weight"][None]
    return found | _joined(mine)


def _renamed(key: str) -> str:
    """Our name, empty for what has no place."""
    for theirs, ours in _EMBEDDINGS.items():
        if key.startswith(theirs):
            return ours + key[len(theirs) :]
    if not key.startswith("encoder.layers."):
        return ""
    _, _, number, rest = key.split(".", 3)
    for theirs, ours in _BLOCK.items():
        if rest.startswith(theirs):
            return f"blocks.{number}.{ours}{rest[len(theirs) :]}"
    return f"blocks.{number}.{rest}"  # mlp.fc1, mlp.fc2


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Query, key and value of each block as one matrix."""
    found = {}
    for key in state:
        if key.endswith(".self_attn.q_proj.weight"):
            root = key.removesuffix("q_proj.weight")
            block = f"blocks.{key.split('.')[2]}.attn.qkv."
            for part in ("weight", "bias"):
                found[block + part] = torch.cat([state[f"{root}{name}_proj.{part}"] for name in "qkv"])
    return found
