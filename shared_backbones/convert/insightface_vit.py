"""InsightFace's ViT recognisers (`arcface_torch/backbones/vit.py`). insightface is not imported.

Their weights may be used for research only: the user brings the file. Variants with batch norm between the blocks are
refused. Training-time masking has no counterpart here, its `mask_token` is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit_embedder import ViTEmbedderConfig


def config_from_insightface_vit(state: Mapping[str, Tensor], *, heads: int = 8) -> ViTEmbedderConfig:
    """The configuration of a checkpoint; the number of heads does not stand in it (8 in all published variants).

    Raises UsageError where the state is another architecture.
    """
    try:
        dim, _, patch, _ = state["patch_embed.proj.weight"].shape
        side = math.isqrt(state["pos_embed"].shape[1])
        embedding, hidden = state["feature.2.weight"].shape[0], state["blocks.0.mlp.fc1.weight"].shape[0]
        depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
    except (KeyError, ValueError) as error:
        raise UsageError(f"no ViT of InsightFace: {error}", hint="give the state of arcface_torch's vit.py") from None
    if any(".norm1.bn." in key for key in state):
        raise UsageError("an InsightFace ViT with batch norm between its blocks", hint="choose a layer-norm variant")
    # 112 pixels give 12 patches of 9; the 4 pixels left over are cut by the convolution
    size = 112 if 112 // patch == side else side * patch
    return ViTEmbedderConfig(
        size=size, patch=patch, dim=dim, depth=depth, heads=heads, mlp_ratio=hidden / dim, embedding=embedding
    )


def convert_insightface_vit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """InsightFace ViT state -> that of `ViTEmbedder`; a rename."""
    return {_rename(key): value for key, value in state.items() if key != "mask_token"}


def _rename(key: str) -> str:
    if key.startswith("feature."):
        return key
    return "vit.pos.learned.weight" if key == "pos_embed" else f"vit.{key}"
