"""VideoMAE (Tong et al. 2022, arXiv:2203.12602) and VideoMAE V2 (Wang et al. 2023, arXiv:2303.16727) as our ViT.

Two layouts of the same network are read: that of Hugging Face transformers (`videomae.encoder.layer.0…`, old
checkpoints with `q_bias` and `v_bias`, new ones with `query.bias`) and that of the authors (`blocks.0.attn.q_bias`,
also behind `encoder.` or `model.`). Neither is imported. A clip goes in as B 3 T H W. Its positions are one fixed sine
table over the flattened tubelets, which the checkpoints do not hold: it is computed here (`position_table`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViTConfig

_LAYER = {
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
}
_PREFIXES = ("module.", "model.", "videomae.", "encoder.", "backbone.")
_IGNORED = ("decoder", "mask_token", "encoder_to_decoder", "pos_embed", "position_embeddings")


def config_from_hf(config: Mapping[str, Any], classes: int) -> ViTConfig:
    """The ViTConfig of a transformers `config.json` (`model_type` videomae); `classes` 0: no classifier.

    UsageError for a configuration that is no VideoMAE.
    """
    if config.get("model_type") != "videomae":
        raise UsageError(f"a model of type '{config.get('model_type')}'", hint="give a VideoMAE checkpoint")
    side, patch = int(config["image_size"]), int(config["patch_size"])
    pooled = bool(config.get("use_mean_pooling", True))
    dim = int(config["hidden_size"])
    return ViTConfig(
        in_chans=int(config.get("num_channels", 3)),
        image_size=(int(config["num_frames"]), side, side),
        patch=(int(config["tubelet_size"]), patch, patch),
        dim=dim,
        depth=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        mlp_ratio=int(config["intermediate_size"]) / dim,
        class_token=False,
        pos="learned",
        qkv_bias=bool(config.get("qkv_bias", config.get("qv_bias", True))),
        eps=float(config.get("layer_norm_eps", 1e-12)),
        final_norm=not pooled,
        fc_norm=pooled and classes > 0,
        pool="mean",
        num_classes=classes,
    )


def convert_videomae(state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """Encoder and classifier of either layout -> our state dict; what belongs to a pre-training decoder is left out."""
    renamed = {_rename(key): value for key, value in state.items() if not _is_decoder(key)}
    out = {key: value for key, value in renamed.items() if not re.search(r"attn\.(query|key|value|[qkv]_bias)", key)}
    for index in range(config.depth):
        block = f"blocks.{index}.attn"
        if f"{block}.query.weight" in renamed:
            parts = [renamed[f"{block}.{name}.weight"] for name in ("query", "key", "value")]
            out[f"{block}.qkv.weight"] = torch.cat(parts)  # three of C C -> 3C C
        bias = _joined_bias(renamed, block)
        if bias is not None:
            out[f"{block}.qkv.bias"] = bias
    out["pos.learned.weight"] = position_table(math.prod(config.grid), config.dim)
    if not config.num_classes:
        out = {key: value for key, value in out.items() if not key.startswith(("head.", "fc_norm."))}
    return out


def position_table(tokens: int, dim: int) -> Tensor:
    """1 N dim: sin on even channels, cos on odd ones, rate 10000 ** (-2 (c // 2) / dim) (Vaswani et al. 2017)."""
    rates = 10000.0 ** (-2 * (torch.arange(dim, dtype=torch.float64) // 2) / dim)
    angles = torch.arange(tokens, dtype=torch.float64)[:, None] * rates  # N dim
    even = torch.arange(dim) % 2 == 0
    return torch.where(even, angles.sin(), angles.cos()).float()[None]


def _joined_bias(state: Mapping[str, Tensor], block: str) -> Tensor | None:
    """Query and value have a bias, the key has none: three of C -> 3C."""
    for query, value in (("query.bias", "value.bias"), ("q_bias", "v_bias")):
        if f"{block}.{query}" in state:
            first, last = state[f"{block}.{query}"], state[f"{block}.{value}"]
            key = state.get(f"{block}.key.bias", torch.zeros_like(first))
            return torch.cat([first, key, last])
    return None


def _rename(key: str) -> str:
    while prefix := next((prefix for prefix in _PREFIXES if key.startswith(prefix)), ""):
        key = key.removeprefix(prefix)
    key = key.replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
    if key.startswith("layer."):
        key = "blocks." + key.removeprefix("layer.")
        for theirs, ours in _LAYER.items():
            if f".{theirs}." in key:
                return key.replace(f".{theirs}.", f".{ours}.")
        return key.replace("attention.attention.", "attn.")
    return re.sub(r"^layernorm\.", "norm.", re.sub(r"^classifier\.", "head.", key))


def _is_decoder(key: str) -> bool:
    return any(part in key for part in _IGNORED)
