"""LoRAT's checkpoints (github.com/LitingLin/LoRAT, DINOv2 variants S, B, L) as our `Tracker`. Their code is not needed.

What was trained is stored: the low-rank changes (`….lora.A`, `….lora.B`, queries, keys and values apart), token types
and heads. The frozen DINOv2 weights come from its own checkpoint (`dinov2_vitb14_pretrain.pth`, or timm's), unless the
file holds everything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.tracker import TrackerConfig

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_HEADS = {"head.cls_mlp.layers.": "score.", "head.reg_mlp.layers.": "sides."}
_HEAD_DIM = 64  # channels a head in every DINOv2
_CLASSIFIER = ("cls_token", "mask_token", "register_tokens", "head.weight", "head.bias")  # of DINOv2: not used


def config_from_lorat(state: Mapping[str, Tensor]) -> TrackerConfig:
    """The configuration of a whole state (see `complete_lorat`); UsageError for another architecture."""
    try:
        dim, _, patch, _ = state["patch_embed.proj.weight"].shape
        grid = math.isqrt(state["pos_embed"].shape[1])
        depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
        hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
        classes = len(state["token_type_embed"])
    except (KeyError, ValueError) as error:
        raise UsageError(f"no LoRAT of a DINOv2 S, B or L: {error}", hint="give its model.safetensors") from None
    if classes != 3:
        raise UsageError(f"a LoRAT with {classes} token types", hint="only LoRAT (v1) is known")
    return TrackerConfig(
        search=grid * patch, template=math.ceil(grid / 2) * patch, dim=dim, depth=depth, heads=dim // _HEAD_DIM,
        mlp_ratio=hidden / dim, patch=patch, embed="linear", match=False,
        layer_scale=1e-5 if "blocks.0.ls1.gamma" in state else None, positions="corner", types="touched",
        mean=_MEAN, std=_STD,
    )  # fmt: skip


def complete_lorat(state: Mapping[str, Tensor], base: Mapping[str, Tensor] | None, search: int) -> dict[str, Tensor]:
    """A whole, merged state in LoRAT's own names from what was trained and, where that is not all, from the DINOv2
    state `base`, whose positions are resampled to `search` pixels. UsageError where a base is missing."""
    whole = _fused(base or {}) | _fused({key: value for key, value in state.items() if ".lora." not in key})
    if "patch_embed.proj.weight" not in whole:
        raise UsageError("the file holds only what LoRAT trained", hint="lorat:FILE,DINOV2_FILE gives the frozen part")
    whole = {key: value for key, value in whole.items() if key not in _CLASSIFIER}
    alpha = float(whole.pop("lora_alpha", torch.tensor(math.nan)))
    root = bool(whole.pop("use_rslora", torch.tensor(False)))
    for key in sorted(key for key in state if key.endswith(".lora.A")):
        down, up = state[key].float(), state[key.removesuffix("A") + "B"].float()  # r C_in, C_out r
        rank = len(down)
        scale = 1.0 if math.isnan(alpha) else alpha / (math.sqrt(rank) if root else rank)
        layer = key.removesuffix(".lora.A")
        parent, _, part = layer.rpartition(".")
        if part in ("q", "k", "v"):
            rows = slice(*(len(up) * ("qkv".index(part) + end) for end in (0, 1)))
            layer = parent
        else:
            rows = slice(None)
        weight = whole[f"{layer}.weight"].float().clone()
        weight[rows] += scale * up @ down
        whole[f"{layer}.weight"] = weight
    if "pos_embed" not in state:
        whole["pos_embed"] = _positions(whole["pos_embed"], search // whole["patch_embed.proj.weight"].shape[-1])
    return whole


def convert_lorat(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A whole state -> that of `Tracker`. Their types are background, object, search; ours begin with search."""
    found: dict[str, Tensor] = {}
    grid = math.isqrt(state["pos_embed"].shape[1])
    for key, value in state.items():
        if key == "pos_embed":
            found["position"] = value.unflatten(1, (grid, grid))  # 1 N C -> 1 g g C
        elif key == "token_type_embed":
            found["kind"] = value[[2, 0, 1]]
        else:
            found[_renamed(key)] = value
    return found


def _renamed(key: str) -> str:
    for theirs, ours in _HEADS.items():
        if key.startswith(theirs):
            layer, _, rest = key.removeprefix(theirs).partition(".")
            return f"{ours}{2 * int(layer)}.{rest}"  # an activation stands between two layers
    return key


def _fused(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`….linear.weight` of a layer with LoRA without the `linear`, and queries, keys and values joined to one layer."""
    plain = {key.replace(".linear.", "."): value for key, value in state.items()}
    for key in [key for key in plain if ".qkv.q." in key]:
        parts = [plain.pop(key.replace(".qkv.q.", f".qkv.{part}.")) for part in "qkv"]
        plain[key.replace(".qkv.q.", ".qkv.")] = torch.cat(parts)  # three of C ... -> 3C ...
    return plain


def _positions(table: Tensor, grid: int) -> Tensor:
    """1 1+N C with the class token's -> 1 grid*grid C, bicubic without antialiasing, as LoRAT does it."""
    old = math.isqrt(table.shape[1] - 1)
    image = table[:, 1:].float().unflatten(1, (old, old)).permute(0, 3, 1, 2)  # 1 N C -> 1 C h w
    return functional.interpolate(image, size=(grid, grid), mode="bicubic").flatten(2).transpose(1, 2)
