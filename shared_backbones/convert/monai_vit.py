"""MONAI's ViT (2-D and 3-D, the encoder of UNETR and ViTAutoEnc). MONAI is not imported.

MONAI's classifier may end in a Tanh: ours gives the value before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViTConfig

_NAMES = {
    "patch_embedding.position_embeddings": "pos.learned.weight",
    "patch_embedding.patch_embeddings.": "patch_embed.proj.",
    "classification_head.0.": "head.",
    "classification_head.": "head.",
}
_PARTS = {".attn.out_proj.": ".attn.proj.", ".mlp.linear1.": ".mlp.fc1.", ".mlp.linear2.": ".mlp.fc2."}
_UNUSED = ("norm_cross_attn", "cross_attn")  # made for every block, used by decoders alone


def config_from_monai_vit(model: Any, image_size: tuple[int, ...], patch: tuple[int, ...]) -> ViTConfig:
    """The ViTConfig of a `monai.networks.nets.ViT`; MONAI forgets the two sizes that it was built with."""
    embedding, block = model.patch_embedding, model.blocks[0]
    dim = embedding.position_embeddings.shape[2]
    if block.mlp.linear1.out_features != block.mlp.linear2.in_features:
        raise UsageError("MONAI ViT with a gated MLP", hint="choose act GELU")
    head = getattr(model, "classification_head", None)
    last = head[0] if head is not None and hasattr(head, "__getitem__") else head
    return ViTConfig(
        in_chans=embedding.patch_dim // math.prod(patch),
        image_size=image_size,
        patch=patch,
        dim=dim,
        depth=len(model.blocks),
        heads=block.attn.num_heads,
        mlp_ratio=block.mlp.linear1.out_features / dim,
        class_token=head is not None,
        pos="none" if embedding.pos_embed_type == "none" else "learned",
        pos_prefix=False,
        qkv_bias=block.attn.qkv.bias is not None,
        eps=model.norm.eps,
        pool="none" if head is None else "cls",
        num_classes=0 if last is None else last.out_features,
    )


def convert_monai_vit(state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """MONAI ViT state -> ours; a patch embedding that MONAI calls a perceptron becomes the convolution it is."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if any(part in key for part in _UNUSED):
            continue
        if key == "patch_embedding.position_embeddings" and config.pos == "none":
            continue
        name = key
        if key.startswith("patch_embedding.patch_embeddings.1."):
            name = "patch_embed.proj." + key.rpartition(".")[2]
            value = _as_convolution(value, config) if value.ndim == 2 else value
        for old, new in (_NAMES | _PARTS).items():
            name = name.replace(old, new)
        found[name] = value
    return found


def _as_convolution(weight: Tensor, config: ViTConfig) -> Tensor:
    """dim (*patch in_chans) -> dim in_chans *patch."""
    return weight.reshape(-1, *config.patch, config.in_chans).movedim(-1, 1)
