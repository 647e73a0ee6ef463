"""The simple pyramid: sizes at every stride, the published layer order, equal treatment of every axis count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.features import Features
from vitapps.shared_backbones.heads.pyramid import ChannelNorm, SimplePyramid
from vitapps.shared_backbones.models.vit import ViT, ViTConfig


@pytest.mark.parametrize("size", [(64, 96), (32, 32, 64), (64,)])
@pytest.mark.parametrize("patch", [8, 16])
def test_maps_have_the_strides_they_are_named_by(size: tuple[int, ...], patch: int) -> None:
    sides = (patch,) * len(size)
    model = ViT(ViTConfig(in_chans=1, image_size=size, patch=sides, dim=16, depth=1, heads=2, pos="sincos"))
    pyramid = SimplePyramid(16, sides, out_dim=6)
    maps = pyramid(model.forward_features(torch.randn(2, 1, *size)))
    assert {stride: tuple(level.shape) for stride, level in maps.items()} == {
        stride: (2, 6, *(side // stride for side in size)) for stride in (4, 8, 16, 32)
    }
    sum(level.square().mean() for level in maps.values()).backward()
    assert all(parameter.grad is not None for parameter in pyramid.parameters())


def test_layers_are_those_of_the_paper() -> None:
    """Patch 16: two transposed convolutions to 4, one to 8, none to 16, a max pooling to 32; then 1x1 and 3x3."""
    levels: Any = SimplePyramid(16, (16, 16), out_dim=6).levels
    out = [nn.Conv2d, ChannelNorm, nn.Conv2d, ChannelNorm]
    up = nn.ConvTranspose2d
    found = [[type(layer) for layer in level] for level in levels]
    assert found == [[up, ChannelNorm, nn.GELU, up, *out], [up, *out], out, [nn.MaxPool2d, *out]]
    assert levels[0][0].weight.shape[:2] == (16, 8)
    assert levels[0][3].weight.shape[:2] == (8, 4)


def test_the_norm_is_over_channels_at_each_position() -> None:
    x = torch.randn(2, 5, 3, 4)
    out = ChannelNorm(5)(x)
    torch.testing.assert_close(out.mean(dim=1), torch.zeros(2, 3, 4), atol=1e-6, rtol=0)
    one = ChannelNorm(5)(x[:, :, 1:2, 2:3])
    torch.testing.assert_close(out[:, :, 1:2, 2:3], one)


def test_it_reads_an_intermediate_layer() -> None:
    tokens, other = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    features = Features(tokens=tokens, grid=(2, 2), prefix=1, intermediates={3: other})
    pyramid = SimplePyramid(8, (8, 8), out_dim=4, strides=(8,))
    again = pyramid(Features(tokens=other, grid=(2, 2), prefix=1))
    assert torch.equal(pyramid(features, layer=3)[8], again[8])


@pytest.mark.parametrize("patch", [(14, 14), (2, 16, 16)])
def test_other_patches_are_refused(patch: tuple[int, ...]) -> None:
    with pytest.raises(UsageError):
        SimplePyramid(16, patch)
