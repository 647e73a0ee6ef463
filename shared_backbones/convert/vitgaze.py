"""The published ViTGaze checkpoints (hustvl/ViTGaze, detectron2's format). Neither is imported.

Names there: `backbone` (DINOv2's ViT-S/14 with its own positions), `pam` (the guidance; `aux_embed` serves training
alone), `regressor` (the decoder), `classifier` (inside or not). The class token has no position there; positions are
resampled without antialiasing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.heads.gaze import GazeConfig
from vitapps.shared_backbones.models.vit import ViTConfig

SIDE = 434  # pixels of the input in the published configuration
HEAD_WIDTH = 64  # channels of an attention head, in DINOv2's ViTs and all others published
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_POSITIONS = "vit.pos.learned.weight"
_RENAMED = (
    (r"^backbone\.pos_embed$", _POSITIONS),
    (r"^backbone\.", "vit."),
    (r"^pam\.patch_embed\.patch_embed\.", "guide.0."),  # trained with the auxiliary loss
    (r"^pam\.embed\.patch_embed\.", "guide.0."),  # without it
    (r"^pam\.embed\.(embed\.)?", "guide.2."),
    (r"^regressor\.decoder\.conv\.", "last."),
    (r"^classifier\.classifier\.linear0\.", "inside.0."),
    (r"^classifier\.classifier\.linear1\.", "inside.2."),
)
_TRAINING_ONLY = ("backbone.mask_token", "pam.aux_embed.")


def config_from_vitgaze(state: Mapping[str, Tensor], *, side: int = SIDE) -> GazeConfig:
    """The configuration of a checkpoint for pictures of `side` pixels; layers are read at even distances, the last one
    included, as published. Raises UsageError where the state is another architecture."""
    try:
        dim, _, patch, _ = state["backbone.patch_embed.proj.weight"].shape
        depth = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("backbone.blocks."))
        hidden = state["backbone.blocks.0.mlp.fc1.weight"].shape[0]
        maps = state["regressor.decoder.conv1.weight"].shape[1]
        widths = tuple(state[f"regressor.decoder.conv{number}.weight"].shape[0] for number in (1, 2, 3))
        guide = state["pam.patch_embed.patch_embed.weight" if "pam.embed.weight" in state else
                      "pam.embed.patch_embed.weight"].shape[0]  # fmt: skip
    except (KeyError, ValueError) as error:
        raise UsageError(f"no ViTGaze: {error}", hint="give a checkpoint of hustvl/ViTGaze") from None
    heads = dim // HEAD_WIDTH
    count = maps // heads if heads else 0
    if any(key.startswith(("backbone.register_tokens", "backbone.msg_tokens")) for key in state) or not count:
        raise UsageError("a ViTGaze with registers or other maps than attention", hint="give a published variant")
    vit = ViTConfig(
        image_size=(side, side), patch=(patch, patch), dim=dim, depth=depth, heads=heads, mlp_ratio=hidden / dim,
        pos_prefix=False, final_norm=False, pool="none", class_token="backbone.cls_token" in state,
        layer_scale=1.0 if "backbone.blocks.0.ls1.gamma" in state else None,
    )  # fmt: skip
    layers = tuple((number + 1) * depth // count - 1 for number in range(count))
    return GazeConfig(vit=vit, layers=layers, guide=guide, widths=widths)


def convert_vitgaze(state: Mapping[str, Tensor], *, side: int = SIDE) -> dict[str, Tensor]:
    """ViTGaze state -> that of `GazeFollower`, for pictures of `side` pixels."""
    found = {_rename(key): value for key, value in state.items() if not key.startswith(_TRAINING_ONLY)}
    grid = side // found["vit.patch_embed.proj.weight"].shape[-1]
    found[_POSITIONS] = _resampled(found[_POSITIONS], grid)
    return found


def _rename(key: str) -> str:
    stage = re.match(r"^regressor\.decoder\.(conv|bn)(\d)\.(.*)$", key)
    if stage:
        kind, number, rest = stage.groups()
        return f"decoder.{int(number) - 1}.{1 if kind == 'conv' else 2}.{rest}"
    for pattern, name in _RENAMED:
        if re.match(pattern, key):
            return re.sub(pattern, name, key)
    return key


def _resampled(table: Tensor, grid: int) -> Tensor:
    """Positions 1 n C, the class token's first where n is one more than a square, at grid x grid: 1 N C."""
    side = math.isqrt(table.shape[1])
    patches = table[:, table.shape[1] - side * side :]
    if side == grid:
        return patches
    image = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)  # 1 n C -> 1 C s s
    image = functional.interpolate(image, size=(grid, grid), mode="bicubic", align_corners=False)
    return image.flatten(2).transpose(1, 2)  # 1 C g g -> 1 N C
