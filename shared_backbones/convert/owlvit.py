"""OWL-ViT and OWLv2 as transformers stores them (`OwlViTForObjectDetection`, `Owlv2ForObjectDetection`), which is not
imported. OWLv2's objectness head is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.hf_clip_vision import convert_hf_clip_vision
from vitapps.shared_backbones.layers.act import Act
from vitapps.shared_backbones.models.owlvit import OwlViTConfig, TextConfig
from vitapps.shared_backbones.models.vit import ViTConfig

KINDS = ("owlvit", "owlv2")
_ACTS: dict[str, Act] = {"quick_gelu": "quick_gelu", "gelu": "gelu"}
_PATCH = {"owlvit": 32, "owlv2": 16}  # sides of a patch where config.json, which holds what differs, does not say
_HEADS = {
    "layer_norm.": "norm.",
    "box_head.dense0.": "boxes.0.",
    "box_head.dense1.": "boxes.2.",
    "box_head.dense2.": "boxes.4.",
    "class_head.dense0.": "classes.",
    "class_head.logit_shift.": "shift.",
    "class_head.logit_scale.": "scale.",
}
_TEXT = {
    "embeddings.token_embedding.weight": "text.pieces.weight",
    "embeddings.position_embedding.weight": "text.places",
    "final_layer_norm.": "text.norm.",
}
_BLOCK = {"layer_norm1.": "norm1.", "layer_norm2.": "norm2.", "self_attn.out_proj.": "attn.proj."}


def config_from_owlvit(config: Mapping[str, Any]) -> OwlViTConfig:
    """Of `config.json`; what that leaves out has the values of `transformers.OwlViTConfig`. UsageError for another
    model."""
    kind = str(config.get("model_type"))
    if kind not in KINDS:
        raise UsageError(f"a model of type '{kind}' is no OWL-ViT", hint="hf:google/owlvit-base-patch32")
    image, text = config.get("vision_config") or {}, config.get("text_config") or {}
    for tower in (image, text):
        if tower.get("hidden_act", "quick_gelu") not in _ACTS:
            raise UsageError(f"an OWL-ViT with '{tower['hidden_act']}'", hint=f"one of {', '.join(_ACTS)}")
    return OwlViTConfig(
        image=_image(image, kind), text=_text(text), embedding=int(config.get("projection_dim", 512))
    )  # fmt: skip


def convert_owlvit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of transformers -> of `models/owlvit.py`."""
    root = next((kind for kind in KINDS if any(key.startswith(f"{kind}.") for key in state)), None)
    if root is None:
        raise UsageError("the file holds no OWL-ViT", hint="the weights of OwlViTForObjectDetection are expected")
    image = {key: value for key, value in state.items() if key.startswith(f"{root}.vision_model.")}
    found = {f"image.{key}": value for key, value in convert_hf_clip_vision(image).items()}
    found["text.projection.weight"] = state[f"{root}.text_projection.weight"]
    text = f"{root}.text_model."
    for key, value in state.items():
        if key.startswith(text):
            found |= _of_text(key.removeprefix(text), value, state, text)
        for theirs, ours in _HEADS.items():
            if key.startswith(theirs):
                found[ours + key.removeprefix(theirs)] = value
    return found


def _of_text(key: str, value: Tensor, state: Mapping[str, Tensor], root: str) -> dict[str, Tensor]:
    """Our entry of one of the text tower's; of query, key and value only the query's stands for all three."""
    for theirs, ours in _TEXT.items():
        if key.startswith(theirs):
            return {ours + key.removeprefix(theirs): value}
    if not key.startswith("encoder.layers."):
        return {}  # position_ids of older files
    _, _, number, rest = key.split(".", 3)
    block = f"text.blocks.{number}."
    if rest.startswith("self_attn.") and "out_proj" not in rest:
        if "q_proj" not in rest:
            return {}
        joined = torch.cat([state[root + key.replace("q_proj", f"{name}_proj")] for name in "qkv"])
        return {f"{block}attn.qkv.{rest.rpartition('.')[2]}": joined}
    for theirs, ours in _BLOCK.items():
        if rest.startswith(theirs):
            return {block + ours + rest.removeprefix(theirs): value}
    return {block + rest: value}  # mlp.fc1, mlp.fc2


def _image(tower: Mapping[str, Any], kind: str) -> ViTConfig:
    dim, side = int(tower.get("hidden_size", 768)), int(tower.get("image_size", 768))
    patch = int(tower.get("patch_size", _PATCH[kind]))
    return ViTConfig(
        image_size=(side, side), patch=(patch, patch), dim=dim, patch_bias=False,
        depth=int(tower.get("num_hidden_layers", 12)), heads=int(tower.get("num_attention_heads", 12)),
        mlp_ratio=int(tower.get("intermediate_size", 3072)) / dim, act=_ACTS[tower.get("hidden_act", "quick_gelu")],
        eps=float(tower.get("layer_norm_eps", 1e-5)), pre_norm=True, pool="none", num_classes=0,
    )  # fmt: skip


def _text(tower: Mapping[str, Any]) -> TextConfig:
    dim = int(tower.get("hidden_size", 512))
    return TextConfig(
        vocabulary=int(tower.get("vocab_size", 49408)), length=int(tower.get("max_position_embeddings", 16)), dim=dim,
        depth=int(tower.get("num_hidden_layers", 12)), heads=int(tower.get("num_attention_heads", 8)),
        mlp_ratio=int(tower.get("intermediate_size", 2048)) / dim, act=_ACTS[tower.get("hidden_act", "quick_gelu")],
        eps=float(tower.get("layer_norm_eps", 1e-5)),
    )  # fmt: skip
