"""OSTrack's checkpoints (github.com/botaoye/OSTrack, MAE ViT with centre head) as our `Tracker`; without their code.

Candidate elimination, which drops search tokens on the way in some variants, has no weights and is left out: the same
weights see all tokens, which costs time and changes scores a little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.tracker import TrackerConfig

_HEAD_DIM = 64  # channels a head in every MAE ViT
_TOWERS = {"ctr": "centre", "offset": "offset", "size": "size"}
_UNUSED = ("backbone.cls_token", "backbone.pos_embed", "backbone.cls_pos_embed")  # of the classifier it began as


def config_from_ostrack(state: Mapping[str, Tensor]) -> TrackerConfig:
    """The configuration of a checkpoint's `net`; UsageError for another architecture or head."""
    try:
        dim, _, patch, _ = state["backbone.patch_embed.proj.weight"].shape
        grid, small = (math.isqrt(state[f"backbone.pos_embed_{part}"].shape[1]) for part in "xz")
        depth = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("backbone.blocks."))
        hidden = state["backbone.blocks.0.mlp.fc1.weight"].shape[0]
        width = state["box_head.conv1_ctr.0.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise UsageError(f"no OSTrack with a centre head: {error}", hint="give its OSTrack_ep0300.pth.tar") from None
    return TrackerConfig(
        search=grid * patch, template=small * patch, dim=dim, depth=depth, heads=dim // _HEAD_DIM,
        mlp_ratio=hidden / dim, patch=patch, embed="linear", match=False, positions="separate", types="none",
        head="centre", head_dim=width, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
    )  # fmt: skip


def convert_ostrack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's `net` -> the state of `Tracker`."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if key in _UNUSED:
            continue
        if key.startswith("backbone.pos_embed_"):
            side = math.isqrt(value.shape[1])
            name = "position" if key.endswith("_x") else "template_position"
            found[name] = value.unflatten(1, (side, side))  # 1 N C -> 1 g g C
        else:
            found[_renamed(key)] = value
    return found


def _renamed(key: str) -> str:
    if not key.startswith("box_head."):
        return key.removeprefix("backbone.")
    layer, _, rest = key.removeprefix("box_head.").partition(".")  # conv2_ctr, 0.weight
    step, tower = int(layer[4]), layer[6:]
    first = 3 * (step - 1)  # convolution, norm, activation
    if step == 5:
        return f"centre_head.{_TOWERS[tower]}.{first}.{rest}"
    place, _, name = rest.partition(".")
    return f"centre_head.{_TOWERS[tower]}.{first + int(place)}.{name}"
