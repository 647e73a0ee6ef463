"""MGP-STR as transformers has it (`MgpstrForSceneTextRecognition`, `hf:alibaba-damo/mgp-str-base`). transformers is not
imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.mgp_str import MgpStrConfig

_GRANULARITIES = {"char": "chars", "bpe": "bpe", "wp": "wordpiece"}
_VIT = {
    "mgp_str.embeddings.cls_token": "vit.cls_token",
    "mgp_str.embeddings.pos_embed": "vit.pos.learned.weight",
    "mgp_str.embeddings.proj.": "vit.patch_embed.proj.",
    "mgp_str.encoder.blocks.": "vit.blocks.",
}
_A3 = {"token_norm.": "token_norm.", "tokenLearner.0.": "keys.", "feat.": "values.", "norm.": "norm."}


def config_from_mgp_str(config: Any) -> MgpStrConfig:
    """Of a `transformers.MgpstrConfig`; UsageError for the distilled form, which nobody has published."""
    if config.distilled:
        raise UsageError("MGP-STR with a distillation token", hint="use a checkpoint without one")
    return MgpStrConfig(
        in_chans=config.num_channels,
        image_size=tuple(config.image_size),
        patch=(config.patch_size, config.patch_size),
        dim=config.hidden_size,
        depth=config.num_hidden_layers,
        heads=config.num_attention_heads,
        mlp_ratio=config.mlp_ratio,
        qkv_bias=config.qkv_bias,
        eps=config.layer_norm_eps,
        length=config.max_token_length,
        chars=config.num_character_labels,
        bpe=config.num_bpe_labels,
        wordpiece=config.num_wordpiece_labels,
    )


def convert_mgp_str(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of transformers -> ours; 1x1 convolutions over a picture one pixel wide become those over a sequence."""
    return dict(_renamed(key, value) for key, value in state.items())


def _renamed(key: str, value: Tensor) -> tuple[str, Tensor]:
    for theirs, ours in _VIT.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs), value
    for short, name in _GRANULARITIES.items():
        if key.startswith(f"{short}_head."):
            return key.replace(f"{short}_head.", f"heads.{name}."), value
        part = key.removeprefix(f"{short}_a3_module.")
        if part == "tokenLearner.1.weight":
            return f"gather.{name}.queries", value.flatten(1)  # T C 1 1 -> T C
        for theirs, ours in _A3.items():
            if part != key and part.startswith(theirs):
                flat = value.flatten(2) if value.ndim == 4 else value  # C C/8 1 1 -> C C/8 1
                return f"gather.{name}.{ours}{part.removeprefix(theirs)}", flat
    raise UsageError(f"unknown key '{key}' of MGP-STR", hint="the state of MgpstrForSceneTextRecognition is expected")
