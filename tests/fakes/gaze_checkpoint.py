"""Random weights in the layout of ViTGaze's published checkpoints, and the network written plainly from its paper."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DIM, DEPTH, HEADS, PATCH, SIDE, TRAINED = 128, 4, 2, 14, 56, 5  # TRAINED positions a side
LAYERS = (1, 3)
WIDTHS = (HEADS * len(LAYERS), 6, 4, 1)
State = dict[str, Tensor]


def gaze_state(seed: int = 0) -> State:
    """By the names of hustvl/ViTGaze, trained with its auxiliary loss."""
    torch.manual_seed(seed)
    shapes = {
        "backbone.pos_embed": (1, 1 + TRAINED**2, DIM), "backbone.cls_token": (1, 1, DIM),
        "backbone.mask_token": (1, DIM), "backbone.patch_embed.proj.weight": (DIM, 3, PATCH, PATCH),
        "backbone.patch_embed.proj.bias": (DIM,), "pam.patch_embed.patch_embed.weight": (8, 3, PATCH, PATCH),
        "pam.patch_embed.patch_embed.bias": (8,), "pam.embed.weight": (1, 8, 1, 1), "pam.embed.bias": (1,),
        "pam.aux_embed.weight": (1, 8, 1, 1), "pam.aux_embed.bias": (1,),
        "regressor.decoder.conv.weight": (1, 1, 1, 1), "regressor.decoder.conv.bias": (1,),
        "classifier.classifier.linear0.weight": (DIM, DIM), "classifier.classifier.linear0.bias": (DIM,),
        "classifier.classifier.linear1.weight": (1, DIM), "classifier.classifier.linear1.bias": (1,),
    }  # fmt: skip
    for number in range(DEPTH):
        block = {
            "norm1.weight": (DIM,), "norm1.bias": (DIM,), "norm2.weight": (DIM,), "norm2.bias": (DIM,),
            "ls1.gamma": (DIM,), "ls2.gamma": (DIM,), "attn.qkv.weight": (3 * DIM, DIM), "attn.qkv.bias": (3 * DIM,),
            "attn.proj.weight": (DIM, DIM), "attn.proj.bias": (DIM,), "mlp.fc1.weight": (4 * DIM, DIM),
            "mlp.fc1.bias": (4 * DIM,), "mlp.fc2.weight": (DIM, 4 * DIM), "mlp.fc2.bias": (DIM,),
        }  # fmt: skip
        shapes |= {f"backbone.blocks.{number}.{key}": shape for key, shape in block.items()}
    state = {key: torch.randn(shape) * 0.1 for key, shape in shapes.items()}
    for stage in (1, 2, 3):
        wide, narrow = WIDTHS[stage - 1 : stage + 1]
        state[f"regressor.decoder.conv{stage}.weight"] = torch.randn(narrow, wide, 3, 3) * 0.3
        state[f"regressor.decoder.conv{stage}.bias"] = torch.randn(narrow) * 0.1
        for key in ("weight", "bias", "running_mean"):
            state[f"regressor.decoder.bn{stage}.{key}"] = torch.rand(narrow) * 0.3
        state[f"regressor.decoder.bn{stage}.running_var"] = torch.rand(narrow) + 0.5
        state[f"regressor.decoder.bn{stage}.num_batches_tracked"] = torch.tensor(1)
    return state


def plain_gaze(state: State, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(heat B H W, inside B) of images B 3 S S with the heads' pixels in `mask` B 1 S S."""
    grid = SIDE // PATCH
    x = functional.conv2d(
        image, state["backbone.patch_embed.proj.weight"], state["backbone.patch_embed.proj.bias"], PATCH
    )
    table = state["backbone.pos_embed"][:, 1:].reshape(1, TRAINED, TRAINED, DIM).permute(0, 3, 1, 2)
    x = x + functional.interpolate(table, (grid, grid), mode="bicubic", align_corners=False)
    x = torch.cat([state["backbone.cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
    maps = []
    for number in range(DEPTH):
        own = {key.split(".", 3)[3]: value for key, value in state.items() if f"backbone.blocks.{number}." in key}
        y = functional.layer_norm(x, (DIM,), own["norm1.weight"], own["norm1.bias"], 1e-6)
        y = functional.linear(y, own["attn.qkv.weight"], own["attn.qkv.bias"])
        q, k, v = y.reshape(len(x), -1, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        attention = (q * (DIM // HEADS) ** -0.5 @ k.transpose(-2, -1)).softmax(dim=-1)
        if number in LAYERS:
            maps.append(attention[:, :, 1:, 1:])
        y = (attention @ v).transpose(1, 2).reshape(x.shape)
        x = x + own["ls1.gamma"] * functional.linear(y, own["attn.proj.weight"], own["attn.proj.bias"])
        y = functional.layer_norm(x, (DIM,), own["norm2.weight"], own["norm2.bias"], 1e-6)
        y = functional.gelu(functional.linear(y, own["mlp.fc1.weight"], own["mlp.fc1.bias"]))
        x = x + own["ls2.gamma"] * functional.linear(y, own["mlp.fc2.weight"], own["mlp.fc2.bias"])
    y = functional.conv2d(
        image, state["pam.patch_embed.patch_embed.weight"], state["pam.patch_embed.patch_embed.bias"], PATCH
    )
    inside_head = functional.max_pool2d(mask, PATCH)
    score = functional.conv2d(y.relu(), state["pam.embed.weight"], state["pam.embed.bias"]) * inside_head
    share = score.masked_fill(inside_head <= 0, -1e9).flatten(1).softmax(dim=1)  # B N
    seen = (torch.cat(maps, dim=1) * share[:, None, :, None]).sum(dim=2)  # B maps N N -> B maps N
    heat = seen.unflatten(2, (grid, grid))
    for stage in (1, 2, 3):
        heat = functional.interpolate(heat, scale_factor=2, mode="bilinear", align_corners=True)
        name = f"regressor.decoder.conv{stage}"
        heat = functional.conv2d(heat, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
        norm = {key: state[f"regressor.decoder.bn{stage}.{key}"] for key in ("running_mean", "running_var")}
        scale = (state[f"regressor.decoder.bn{stage}.weight"], state[f"regressor.decoder.bn{stage}.bias"])
        heat = functional.batch_norm(heat, norm["running_mean"], norm["running_var"], *scale).relu()
    heat = functional.conv2d(heat, state["regressor.decoder.conv.weight"], state["regressor.decoder.conv.bias"])
    person = (x[:, 1:] * share[..., None]).sum(dim=1)
    own = {key.removeprefix("classifier.classifier."): value for key, value in state.items() if "classifier" in key}
    hidden = functional.linear(person, own["linear0.weight"], own["linear0.bias"]).relu()
    return heat[:, 0], functional.linear(hidden, own["linear1.weight"], own["linear1.bias"])[:, 0]
