"""torchvision's VisionTransformer (`vit_b_16` and its kin). torchvision is not imported.

torchvision resamples positions without antialiasing when it changes the input size; ours does as timm does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViTConfig

_NAMES = {
    "class_token": "cls_token",
    "conv_proj.": "patch_embed.proj.",
    "encoder.pos_embedding": "pos.learned.weight",
    "encoder.ln.": "norm.",
    "heads.head.": "head.",
    "ln_1.": "norm1.",
    "ln_2.": "norm2.",
    "self_attention.in_proj_": "attn.qkv.",
    "self_attention.out_proj.": "attn.proj.",
    "mlp.0.": "mlp.fc1.",
    "mlp.3.": "mlp.fc2.",
    "mlp.linear_1.": "mlp.fc1.",
    "mlp.linear_2.": "mlp.fc2.",
}
_LAYER = re.compile(r"encoder\.layers\.encoder_layer_(\d+)\.")


def config_from_torchvision_vit(model: Any) -> ViTConfig:
    """The ViTConfig of a `torchvision.models.VisionTransformer`; UsageError for a stem or a `representation_size`."""
    weight = getattr(model.conv_proj, "weight", None)
    if weight is None or model.representation_size is not None:
        raise UsageError("torchvision ViT with conv stem or representation_size", hint="choose a plain variant")
    return ViTConfig(
        in_chans=weight.shape[1],
        image_size=(model.image_size, model.image_size),
        patch=tuple(weight.shape[2:]),
        dim=model.hidden_dim,
        depth=len(model.encoder.layers),
        heads=model.encoder.layers[0].num_heads,
        mlp_ratio=model.mlp_dim / model.hidden_dim,
        eps=model.encoder.ln.eps,
        num_classes=model.heads.head.out_features,
    )


def convert_torchvision_vit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision VisionTransformer state -> ours; a rename, layer by layer."""
    return {_rename(key): value for key, value in state.items()}


def _rename(key: str) -> str:
    layer = _LAYER.match(key)
    stem, rest = (f"blocks.{layer[1]}.", key[layer.end() :]) if layer else ("", key)
    for old, new in _NAMES.items():
        if rest.startswith(old):
            return stem + new + rest.removeprefix(old)
    return key
