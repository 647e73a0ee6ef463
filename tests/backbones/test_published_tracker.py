"""LoRAT and OSTrack checkpoints, by the names that their code gives its tensors, against a plain second derivation.

The second derivation below works on a dictionary of tensors with torch's functions alone, from the papers and the
published layout; weights are random.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fakes.tracker_checkpoints import DEPTH, DIM, State, lorat_files, ostrack_file
from vitapps.errors import MissingError, UsageError
from vitapps.shared_backbones.weights.published_tracker import load_published_tracker

HEADS = 2
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def apply(state: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def norm(state: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, (DIM,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def patches(state: State, prefix: str, image: Tensor) -> Tensor:
    weight = state[f"{prefix}patch_embed.proj.weight"]
    x = (image - MEAN[:, None, None]) / STD[:, None, None]
    tokens = F.conv2d(x, weight, state[f"{prefix}patch_embed.proj.bias"], stride=weight.shape[-1])
    return tokens.flatten(2).transpose(1, 2)


def blocks(state: State, prefix: str, x: Tensor) -> Tensor:
    for index in range(DEPTH):
        block = f"{prefix}blocks.{index}."
        q, k, v = apply(state, f"{block}attn.qkv", norm(state, f"{block}norm1", x)).chunk(3, dim=-1)
        heads = [
            ((q[..., part] @ k[..., part].transpose(1, 2)) / math.sqrt(DIM // HEADS)).softmax(-1) @ v[..., part]
            for part in (slice(start, start + DIM // HEADS) for start in range(0, DIM, DIM // HEADS))
        ]
        mixed = apply(state, f"{block}attn.proj", torch.cat(heads, dim=-1))
        x = x + mixed * state.get(f"{block}ls1.gamma", torch.ones(()))
        hidden = F.gelu(apply(state, f"{block}mlp.fc1", norm(state, f"{block}norm2", x)))
        x = x + apply(state, f"{block}mlp.fc2", hidden) * state.get(f"{block}ls2.gamma", torch.ones(()))
    return norm(state, f"{prefix}norm", x)


def joined(search: Tensor, template: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    side, small = search.shape[-1], template.shape[-1]
    image = torch.zeros(1, 4, side, side + small)
    image[:, :3, :, :side], image[:, :3, :small, side:] = search, template
    image[:, 3, box[1] : box[3], side + box[0] : side + box[2]] = 1
    return image


def test_lorat_merged_equals_a_plain_derivation(tmp_path: Path) -> None:
    state, spec = lorat_files(tmp_path)
    found = load_published_tracker(spec)
    assert (found.config.search, found.config.template, found.factor, found.around) == (56, 28, 4.0, "sides")
    search, template = torch.rand(1, 3, 56, 56), torch.rand(1, 3, 28, 28)
    mask = torch.tensor([0, 1, 0, 1])  # the box below touches the right column of 2 x 2 tokens
    table = state["pos_embed"].reshape(1, 4, 4, DIM)
    z = patches(state, "", template) + table[:, :2, :2].reshape(1, 4, DIM) + state["token_type_embed"][mask]
    x = patches(state, "", search) + state["pos_embed"] + state["token_type_embed"][2]
    out = blocks(state, "", torch.cat([z, x], dim=1))[:, 4:]

    def mlp(branch: str) -> Tensor:
        y = out
        for layer in range(3):
            y = apply(state, f"head.{branch}.layers.{layer}", y)
            y = F.gelu(y) if layer < 2 else y
        return y

    at = (torch.arange(4) + 0.5) / 4
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1).reshape(16, 2)
    sides = mlp("reg_mlp").sigmoid()[0]
    boxes = 56 * torch.cat([points - sides[:, :2], points + sides[:, 2:]], dim=1)
    with torch.inference_mode():
        scores, ours = found.module(joined(search, template, (20, 2, 26, 26)))
    assert (scores.flatten() - mlp("cls_mlp").sigmoid().flatten()).abs().max() < 1e-5
    assert (ours.flatten(2)[0].T - boxes).abs().max() < 1e-3


def test_lorat_alone_says_what_is_missing(tmp_path: Path) -> None:
    _, spec = lorat_files(tmp_path)
    alone, base, _ = spec.split(",")
    with pytest.raises(UsageError, match="only what LoRAT trained"):
        load_published_tracker(alone)
    with pytest.raises(UsageError, match="no side"):
        load_published_tracker(f"{alone},{base},wide")
    with pytest.raises(UsageError, match="no OSTrack"):
        load_published_tracker(f"ostrack:{base}")
    for spec in ("ostrack:", "osmosis:x", f"lorat:{tmp_path}/none.safetensors"):
        with pytest.raises((UsageError, MissingError)):
            load_published_tracker(spec)


def tower(state: State, name: str, x: Tensor) -> Tensor:
    for step in range(1, 5):
        key = f"box_head.conv{step}_{name}."
        x = F.conv2d(x, state[f"{key}0.weight"], state[f"{key}0.bias"], padding=1)
        x = F.batch_norm(
            x, state[f"{key}1.running_mean"], state[f"{key}1.running_var"], state[f"{key}1.weight"],
            state[f"{key}1.bias"],
        )  # fmt: skip
        x = F.relu(x)
    return F.conv2d(x, state[f"box_head.conv5_{name}.weight"], state[f"box_head.conv5_{name}.bias"])


def test_ostrack_equals_a_plain_derivation(tmp_path: Path) -> None:
    state, spec = ostrack_file(tmp_path)
    found = load_published_tracker(spec)
    assert (found.config.search, found.config.template, found.around) == (64, 32, "area")
    search, template = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 32, 32)
    z = patches(state, "backbone.", template) + state["backbone.pos_embed_z"]
    x = patches(state, "backbone.", search) + state["backbone.pos_embed_x"]
    out = blocks(state, "backbone.", torch.cat([z, x], dim=1))[:, 4:].transpose(1, 2).reshape(1, DIM, 4, 4)
    scores, offset = tower(state, "ctr", out).sigmoid(), tower(state, "offset", out)[0]
    size = tower(state, "size", out).sigmoid()[0]
    with torch.inference_mode():
        ours, boxes = found.module(joined(search, template, (0, 0, 32, 32)))
    assert (ours - scores).abs().max() < 1e-5
    for row, column in ((0, 0), (1, 3), (3, 2)):  # centre and size as shares of the region, as their own decoding
        centre = torch.stack([column + offset[0, row, column], row + offset[1, row, column]]) / 4
        wanted = 64 * torch.cat([centre - size[:, row, column] / 2, centre + size[:, row, column] / 2])
        assert (boxes[0, :, row, column] - wanted).abs().max() < 1e-3
