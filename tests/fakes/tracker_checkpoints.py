"""Random weights in the layouts of LoRAT's, DINOv2's and OSTrack's published checkpoints, by their names."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

DIM, DEPTH = 128, 2  # two heads of 64 channels
State = dict[str, Tensor]


def random(*shape: int) -> Tensor:
    return 0.2 * torch.randn(*shape)


def linear(state: State, name: str, rows: int, columns: int) -> None:
    state[f"{name}.weight"], state[f"{name}.bias"] = random(rows, columns), random(rows)


def vit_state(prefix: str, patch: int, layer_scale: bool) -> State:
    state = {f"{prefix}patch_embed.proj.weight": random(DIM, 3, patch, patch), f"{prefix}norm.weight": 1 + random(DIM)}
    state |= {f"{prefix}patch_embed.proj.bias": random(DIM), f"{prefix}norm.bias": random(DIM)}
    for index in range(DEPTH):
        block = f"{prefix}blocks.{index}."
        for norm in ("norm1", "norm2"):
            state |= {f"{block}{norm}.weight": 1 + random(DIM), f"{block}{norm}.bias": random(DIM)}
        for name, rows, columns in (("attn.qkv", 3 * DIM, DIM), ("attn.proj", DIM, DIM), ("mlp.fc1", 4 * DIM, DIM),
                                    ("mlp.fc2", DIM, 4 * DIM)):  # fmt: skip
            linear(state, block + name, rows, columns)
        if layer_scale:
            state |= {f"{block}ls1.gamma": random(DIM), f"{block}ls2.gamma": random(DIM)}
    return state


def lorat_files(folder: Path) -> tuple[State, str]:
    """A DINOv2 file, what LoRAT adds to it in its own file, and the merged state that both stand for."""
    torch.manual_seed(0)
    base = vit_state("", 14, layer_scale=True) | {"pos_embed": random(1, 1 + 25, DIM), "mask_token": random(1, DIM)}
    added: State = {"token_type_embed": random(3, DIM), "lora_alpha": torch.tensor(8.0)}
    whole = {key: value.clone() for key, value in base.items()}
    for index in range(DEPTH):
        for name in ("attn.qkv.q", "attn.qkv.k", "attn.qkv.v", "attn.proj", "mlp.fc1", "mlp.fc2"):
            layer = f"blocks.{index}.{name}"
            parent = layer if name[-2] != "." else layer[:-2]
            out, into = whole[f"{parent}.weight"].shape
            out = DIM if parent != layer else out
            down, up = random(4, into), random(out, 4)
            added |= {f"{layer}.lora.A": down, f"{layer}.lora.B": up}
            first = DIM * "qkv".index(layer[-1]) if parent != layer else 0
            whole[f"{parent}.weight"][first : first + out] += 8 / 4 * up @ down
    for branch, out in (("cls_mlp", 1), ("reg_mlp", 4)):
        for layer, rows in enumerate((DIM, DIM, out)):
            linear(added, f"head.{branch}.layers.{layer}", rows, DIM)
    save_file(base, folder / "dinov2.safetensors")
    save_file(added, folder / "lorat.safetensors")
    grid = base["pos_embed"][:, 1:].reshape(1, 5, 5, DIM).permute(0, 3, 1, 2)
    whole["pos_embed"] = F.interpolate(grid, size=(4, 4), mode="bicubic").flatten(2).transpose(1, 2)
    return whole | added, f"lorat:{folder / 'lorat.safetensors'},{folder / 'dinov2.safetensors'},56"


def ostrack_file(folder: Path) -> tuple[State, str]:
    """The state of a checkpoint, 64 pixels around the object, and how `--weights` names it."""
    torch.manual_seed(1)
    state = vit_state("backbone.", 16, layer_scale=False)
    state |= {"backbone.pos_embed_x": random(1, 16, DIM), "backbone.pos_embed_z": random(1, 4, DIM)}
    state |= {"backbone.cls_token": random(1, 1, DIM), "backbone.pos_embed": random(1, 197, DIM)}
    for name, out in (("ctr", 1), ("offset", 2), ("size", 2)):
        into = DIM
        for step, width in enumerate((32, 16, 8, 4), 1):
            key = f"box_head.conv{step}_{name}."
            state |= {f"{key}0.weight": random(width, into, 3, 3), f"{key}0.bias": random(width)}
            state |= {f"{key}1.weight": 1 + random(width), f"{key}1.bias": random(width)}
            state |= {f"{key}1.running_mean": random(width), f"{key}1.running_var": 1 + random(width).abs()}
            state[f"{key}1.num_batches_tracked"] = torch.tensor(1)
            into = width
        state |= {f"box_head.conv5_{name}.weight": random(out, 4, 1, 1), f"box_head.conv5_{name}.bias": random(out)}
    torch.save({"net": state, "epoch": 300}, folder / "OSTrack.pth.tar")
    return state, f"ostrack:{folder / 'OSTrack.pth.tar'}"
