"""Whole networks that `vitapps bench attention` measures: what attention alone is worth in them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor

from vitapps.pipelines.runtime.attention_cases import explicit
from vitapps.pipelines.runtime.bench_reduce import DEPTHS, WIDTHS
from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.attention.options import Options
from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.token_reduction.spec import reduced_config

OURS = "vitapps"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network by `ways`, ours and others, which share input and weights; each gives one tensor. The second is what
    the others' errors are told from: attention written out."""

    name: str
    ways: dict[str, Callable[[], Tensor]]


class ExplicitAttention(Attention):
    """The same layer with the map of every head written out, as merging with sizes is published."""

    def forward(self, x: Tensor, **options: Unpack[Options]) -> tuple[Tensor, dict[Need, Tensor]]:
        """B N C -> (B N C, the mean of the keys over the heads)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # B N C -> B N 3 h d
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # three of B h N d
        sizes = options.get("key_size")
        bias = None if sizes is None else sizes.reshape(len(x), 1, 1, -1).log().to(q.dtype)  # B N 1 -> B 1 1 N
        out = explicit(q, k, v, bias)
        return self.proj(out.transpose(1, 2).flatten(2)), {"key_mean": k.mean(dim=1)}  # B h N d -> B N C


def networks(*, quick: bool, device: torch.device, dtype: torch.dtype) -> list[Network]:
    """ViT-B/16 with ToMe (r = 16) at batch 8, and the encoder of Swin UNETR at 96^3 where MONAI and einops, which that
    part of MONAI imports, are installed; `quick` and CPUs get smaller ones."""
    found = [merging(quick=quick, device=device, dtype=dtype)]
    if all(importlib.util.find_spec(name) for name in ("monai", "einops")):
        found.append(swin_unetr(quick=quick, device=device, dtype=dtype))
    return found


def merging(*, quick: bool, device: torch.device, dtype: torch.dtype) -> Network:
    """Token merging with proportional attention (ToMe, Bolya et al. 2023, eq. 1)."""
    name, batch = ("tiny" if quick else "base"), (8 if device.type == "cuda" else 1 if quick else 2)
    dim, heads = WIDTHS[name]
    config = ViTConfig(image_size=(224, 224), dim=dim, heads=heads, depth=DEPTHS[name], num_classes=1000)
    ours = ViT(reduced_config(config, "tome:r=16")).to(device, dtype).eval()
    other = deepcopy(ours)
    for module in other.modules():
        if type(module) is Attention:
            module.__class__ = ExplicitAttention  # no new weights: only what is done with them
    images = torch.randn(batch, 3, 224, 224, device=device, dtype=dtype)
    return Network(
        name=f"ViT-{name}/16, ToMe r=16, batch {batch}",
        ways={OURS: lambda: ours(images), "explicit softmax": lambda: other(images)},
    )


def swin_unetr(*, quick: bool, device: torch.device, dtype: torch.dtype) -> Network:
    """The encoder of Swin UNETR, MONAI's default, its fused path and our windows on its weights."""
    from monai.networks.nets.swin_unetr import SwinTransformer

    from vitapps.shared_backbones.convert.monai_swin import attend_in_swin

    side, width = (32, 24) if quick else (96, 48)

    def encoder(*, fused: bool) -> SwinTransformer:
        return SwinTransformer(
            in_chans=1, embed_dim=width, window_size=(7, 7, 7), patch_size=(2, 2, 2), depths=(2, 2, 2, 2),
            num_heads=(3, 6, 12, 24), spatial_dims=3, use_flash_attention=fused,
        )  # fmt: skip

    models = {OURS: encoder(fused=True), "MONAI default": encoder(fused=False), "MONAI fused": encoder(fused=True)}
    weights = models[OURS].state_dict()
    for model in models.values():
        model.load_state_dict(weights)
        model.to(device, dtype).eval()
    attend_in_swin(models[OURS])
    volume = torch.randn(1, 1, side, side, side, device=device, dtype=dtype)

    def run(model: SwinTransformer) -> Callable[[], Tensor]:
        return lambda: torch.cat([level.flatten() for level in model(volume)])

    return Network(name=f"Swin UNETR encoder {side}^3", ways={way: run(model) for way, model in models.items()})
