"""TrOCR as transformers has it (`VisionEncoderDecoderModel` of ViT or DeiT and `TrOCRForCausalLM`, such as
`hf:microsoft/trocr-base-printed`), in the names of its 4th and of its 5th version. transformers is not imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.layers.act import Act
from vitapps.shared_backbones.models.trocr import TrOcrConfig
from vitapps.shared_backbones.models.vit import ViTConfig

KIND = "vision-encoder-decoder"
_ACTS: dict[str, Act] = {"gelu": "gelu", "relu": "relu", "gelu_new": "gelu_tanh", "silu": "silu", "swish": "silu"}
_ENCODERS = {"vit": 0, "deit": 1}  # and their tokens besides the class token
_ENCODER_DEFAULTS = {  # of `ViTConfig` and `DeiTConfig`: what a published config.json may leave out
    "image_size": 224, "patch_size": 16, "num_channels": 3, "hidden_size": 768, "num_hidden_layers": 12,
    "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    "qkv_bias": True,
}  # fmt: skip
_DECODER_DEFAULTS = {  # of `TrOCRConfig`
    "vocab_size": 50265, "d_model": 1024, "decoder_layers": 12, "decoder_attention_heads": 16, "decoder_ffn_dim": 4096,
    "activation_function": "gelu", "max_position_embeddings": 512, "scale_embedding": False,
    "use_learned_position_embeddings": True, "layernorm_embedding": True, "cross_attention_hidden_size": None,
}  # fmt: skip
_LEFT_OUT = re.compile(r"encoder\.pooler\.|.*\.embed_positions\._float_tensor$|.*\.mask_token$")
_BLOCK = r"encoder\.(?:encoder\.layer|layers)\.(\d+)\."
_LAYER = r"decoder\.model\.decoder\.layers\.(\d+)\."
_NAMES = (  # of both versions; @N: part N of a joined matrix
    (r"encoder\.embeddings\.cls_token", "encoder.cls_token"),
    (r"encoder\.embeddings\.distillation_token", "encoder.reg_token"),
    (r"encoder\.embeddings\.position_embeddings", "encoder.pos.learned.weight"),
    (r"encoder\.embeddings\.patch_embeddings\.projection\.", "encoder.patch_embed.proj."),
    (r"encoder\.layernorm\.", "encoder.norm."),
    (_BLOCK + r"layernorm_before\.", r"encoder.blocks.\1.norm1."),
    (_BLOCK + r"layernorm_after\.", r"encoder.blocks.\1.norm2."),
    (_BLOCK + r"attention\.(?:attention\.query|q_proj)\.", r"encoder.blocks.\1.attn.qkv@0."),
    (_BLOCK + r"attention\.(?:attention\.key|k_proj)\.", r"encoder.blocks.\1.attn.qkv@1."),
    (_BLOCK + r"attention\.(?:attention\.value|v_proj)\.", r"encoder.blocks.\1.attn.qkv@2."),
    (_BLOCK + r"attention\.(?:output\.dense|o_proj)\.", r"encoder.blocks.\1.attn.proj."),
    (_BLOCK + r"(?:intermediate\.dense|mlp\.fc1)\.", r"encoder.blocks.\1.mlp.fc1."),
    (_BLOCK + r"(?:output\.dense|mlp\.fc2)\.", r"encoder.blocks.\1.mlp.fc2."),
    (r"enc_to_dec_proj\.", "bridge."),
    (r"decoder\.output_projection\.", "head."),
    (r"decoder\.model\.decoder\.embed_tokens\.", "embed."),
    (r"decoder\.model\.decoder\.embed_positions\.", "positions."),
    (r"decoder\.model\.decoder\.layernorm_embedding\.", "embed_norm."),
    (_LAYER + r"self_attn_layer_norm\.", r"layers.\1.norm1."),
    (_LAYER + r"encoder_attn_layer_norm\.", r"layers.\1.norm2."),
    (_LAYER + r"final_layer_norm\.", r"layers.\1.norm3."),
    (_LAYER + r"(fc[12])\.", r"layers.\1.mlp.\2."),
    *(
        (_LAYER + rf"{theirs}\.{part}_proj\.", rf"layers.\1.{ours}.{name}.")
        for theirs, ours in (("self_attn", "self_attn"), ("encoder_attn", "cross_attn"))
        for part, name in (("q", "q"), ("k", "kv@0"), ("v", "kv@1"), ("out", "proj"))
    ),
)


def config_from_trocr(settings: Mapping[str, Any]) -> TrOcrConfig:
    """Of a `config.json`; UsageError for an encoder or a decoder of another kind."""
    encoder = {**_ENCODER_DEFAULTS, **settings.get("encoder", {})}
    decoder = {**_DECODER_DEFAULTS, **settings.get("decoder", {})}
    kinds = (encoder.get("model_type"), decoder.get("model_type"))
    if settings.get("model_type") != KIND or kinds[0] not in _ENCODERS or kinds[1] != "trocr":
        raise UsageError(
            f"'{settings.get('model_type')}' of encoder '{kinds[0]}' and decoder '{kinds[1]}'",
            hint=f"TrOCR is a {KIND} of vit or deit and trocr, such as hf:microsoft/trocr-base-printed",
        )
    sizes = {
        "dim": int(decoder["d_model"]), "depth": int(decoder["decoder_layers"]),
        "heads": int(decoder["decoder_attention_heads"]), "hidden": int(decoder["decoder_ffn_dim"]),
        "vocabulary": int(decoder["vocab_size"]), "positions": int(decoder["max_position_embeddings"]),
    }  # fmt: skip
    return TrOcrConfig(
        encoder=_encoder(encoder), **sizes, act=_act(decoder["activation_function"]),
        learned=bool(decoder["use_learned_position_embeddings"]), embed_norm=bool(decoder["layernorm_embedding"]),
        scaled=bool(decoder["scale_embedding"]),
        bridge=decoder["cross_attention_hidden_size"] is None and encoder["hidden_size"] != decoder["d_model"],
    )  # fmt: skip


def convert_trocr(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of transformers -> ours: queries, keys and values joined; a tied output takes the embedding's weight."""
    found: dict[str, Tensor] = {}
    joined: dict[str, dict[int, Tensor]] = {}
    for key, value in state.items():
        if _LEFT_OUT.match(key):
            continue
        name = _renamed(key)
        stem, _, part = name.partition("@")
        if not part:
            found[name] = value
            continue
        number, _, kind = part.partition(".")
        joined.setdefault(f"{stem}.{kind}", {})[int(number)] = value
    found |= {name: torch.cat([parts[number] for number in sorted(parts)]) for name, parts in joined.items()}
    if "embed.weight" in found:
        found.setdefault("head.weight", found["embed.weight"])
    return found


def _encoder(settings: Mapping[str, Any]) -> ViTConfig:
    sides = settings["image_size"], settings["patch_size"]
    image, patch = (tuple(side) if isinstance(side, list | tuple) else (side, side) for side in sides)
    return ViTConfig(
        in_chans=int(settings["num_channels"]), image_size=image, patch=patch, dim=int(settings["hidden_size"]),
        depth=int(settings["num_hidden_layers"]), heads=int(settings["num_attention_heads"]),
        mlp_ratio=settings["intermediate_size"] / settings["hidden_size"], qkv_bias=bool(settings["qkv_bias"]),
        act=_act(settings["hidden_act"]), eps=float(settings["layer_norm_eps"]),
        registers=_ENCODERS[settings["model_type"]], pool="none",
    )  # fmt: skip


def _act(name: str) -> Act:
    if name not in _ACTS:
        raise UsageError(f"TrOCR with the activation '{name}'", hint=f"known: {', '.join(_ACTS)}")
    return _ACTS[name]


def _renamed(key: str) -> str:
    for pattern, name in _NAMES:
        if match := re.match(pattern, key):
            return match.expand(name) + key[match.end() :]
    raise UsageError(f"unknown key '{key}' of TrOCR", hint="the state of VisionEncoderDecoderModel is expected")
