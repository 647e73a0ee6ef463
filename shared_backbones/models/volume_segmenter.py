"""Volume segmenter: convolutions for detail, a plain 3-D ViT for context, a light decoder; one logit per voxel.

    image of grid step s      B 1 D H W          unshuffled 2x2x2 -> 8 channels at 2s
    place                     B 3 D H W          where each voxel lies, added to the 4s map as Fourier features
    shallow convolutions      B C1 at 2s, B C2 at 4s
    plain ViT                 patch tokens of 2x2x2 cells of the 4s map (8s), `models/vit.py`
    decoder                   8s -> 4s -> 2s by nearest upsampling, skips are added
    logits                    one 1x1x1 convolution to K x 8, shuffled back to the input grid

UNETR (Hatamizadeh et al. 2022, arXiv:2103.10504) gives the shape: ViT tokens as the encoder, skips into a convolutional
decoder. Deviations: the patch embedding is preceded by convolutions (Xiao et al. 2021, arXiv:2106.14881), since small
data does not teach a linear 3-D patch embedding its filters; skips are added, not concatenated; and nothing runs
on the full grid except the shuffle, which is what makes it quick on two CPU cores. `place` tells the network where in
the body a window lies (CoordConv, Liu et al. 2018, arXiv:1807.03247, with the Fourier features of Tancik et al. 2020,
arXiv:2006.10739, eq. 5): short training cannot teach it to find left and right in every window anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "UNETR",
    "name": "volume_segmenter",
    "family": "models",
    "paper": "Hatamizadeh et al. 2022, arXiv:2103.10504",
    "equation": "Fig. 2",
    "deviations": "convolutional stem before the patch embedding, added skips, place channels, sub-voxel output head",
    "slots": [],
    "cost": "O(N C^2 + N^2 C) at stride 8, 3x3x3 convolutions at strides 2 and 4",
    "status": "core",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeSegmenterConfig:
    """`window` is the input size in voxels (D H W, multiples of 8) that the model is exported at; any other works.

    `place` octaves of Fourier features; 0: the input has no place channels. `head_apart`: `forward` stops before the
    last convolution, and whoever asked applies it a few rows at a time (`heads/voxel.py`).
    """

    num_classes: int
    window: tuple[int, int, int] = (80, 96, 80)
    in_chans: int = 1
    place: int = 4
    stem: tuple[int, int] = (32, 64)  # channels at strides 2 and 4
    dim: int = 192
    depth: int = 4
    heads: int = 6
    mlp_ratio: float = 4.0
    decoder: tuple[int, int] = (32, 64)  # channels at strides 2 and 4
    head_apart: bool = False

    @property
    def input_chans(self) -> int:
        """Channels of the input: those of the image, then three of the place if the model takes it."""
        return self.in_chans + (3 if self.place else 0)


def unshuffle(x: Tensor) -> Tensor:
    """B C D H W -> B 8C D/2 H/2 W/2: every 2x2x2 cell becomes channels (the 3-D form of pixel unshuffle)."""
    b, c, d, h, w = x.shape
    x = x.reshape(b, c, d // 2, 2, h // 2, 2, w // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * 8, d // 2, h // 2, w // 2)


def shuffle(x: Tensor) -> Tensor:
    """B 8C D H W -> B C 2D 2H 2W, the inverse of `unshuffle`."""
    b, c, d, h, w = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, d, h, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // 8, d * 2, h * 2, w * 2)


def fourier(place: Tensor, octaves: int) -> Tensor:
    """B 3 d h w -> B 3 (1 + 2 octaves) d h w: the place itself, sines and cosines of periods 2, 1, 1/2, … units."""
    angles = [place * (math.pi * 2**octave) for octave in range(octaves)]
    return torch.cat([place, *(a.sin() for a in angles), *(a.cos() for a in angles)], dim=1)


class ConvBlock(nn.Module):
    """3x3x3 convolution, instance normalisation, GELU; `stride` 2 halves the grid."""

    def __init__(self, in_chans: int, dim: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_chans, dim, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(dim // 8, dim)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))  # B C D H W -> B dim D/stride H/stride W/stride
        return out


class VolumeSegmenter(nn.Module):
    """See the module docstring. `forward(B input_chans D H W) -> B num_classes D H W` logits, or with `head_apart`
    -> B decoder[0] D/2 H/2 W/2 features; D, H, W multiples of 16.

    The last three channels are the place: distance from a landmark along D, H, W in units of 100 mm, or all zero where
    it is not known.
    """

    def __init__(self, config: VolumeSegmenterConfig) -> None:
        super().__init__()
        self.config = config
        fine, coarse = config.stem
        up_fine, up_coarse = config.decoder
        self.stem_fine = nn.Sequential(ConvBlock(config.in_chans * 8, fine), ConvBlock(fine, fine))
        self.stem_coarse = nn.Sequential(ConvBlock(fine, coarse, stride=2), ConvBlock(coarse, coarse))
        self.place = nn.Conv3d(3 * (1 + 2 * config.place), coarse, 1) if config.place else None
        self.vit = ViT(_vit_config(config))
        self.from_tokens = nn.Conv3d(config.dim, up_coarse, 1)
        self.skip_coarse = nn.Conv3d(coarse, up_coarse, 1)
        self.decode_coarse = nn.Sequential(ConvBlock(up_coarse, up_coarse), ConvBlock(up_coarse, up_coarse))
        self.to_fine = nn.Conv3d(up_coarse, up_fine, 1)
        self.skip_fine = nn.Conv3d(fine, up_fine, 1)
        self.decode_fine = ConvBlock(up_fine, up_fine)
        self.head = nn.Conv3d(up_fine, config.num_classes * 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x) if self.config.head_apart else self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """B input_chans D H W -> B num_classes D H W, whatever `forward` gives."""
        return shuffle(self.head(self.features(x)))  # B U1 D/2 H/2 W/2 -> B K D H W

    def features(self, x: Tensor) -> Tensor:
        """B input_chans D H W -> B U1 D/2 H/2 W/2: what the last convolution sees."""
        image = x[:, : self.config.in_chans]  # B 1+3 D H W -> B 1 D H W
        fine = self.stem_fine(unshuffle(image))  # -> B C1 D/2 H/2 W/2
        coarse = self.stem_coarse(fine)  # -> B C2 D/4 H/4 W/4
        if self.place is not None:
            coarse = coarse + self.place(fourier(x[:, self.config.in_chans :, 2::4, 2::4, 2::4], self.config.place))
        tokens = self.vit.forward_features(coarse).map()  # -> B dim D/8 H/8 W/8
        y = _double(self.from_tokens(tokens)) + self.skip_coarse(coarse)  # -> B U2 D/4 H/4 W/4
        y = self.to_fine(self.decode_coarse(y))
        y = _double(y) + self.skip_fine(fine)  # -> B U1 D/2 H/2 W/2
        out: Tensor = self.decode_fine(y)
        return out


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")  # B C D H W -> B C 2D 2H 2W


def _vit_config(config: VolumeSegmenterConfig) -> ViTConfig:
    return ViTConfig(
        in_chans=config.stem[1],
        image_size=tuple(size // 4 for size in config.window),
        patch=(2, 2, 2),
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        class_token=False,
        pos="rope",  # relative: a window may lie anywhere over the head
        pool="none",
        num_classes=0,
    )


def window_example(config: VolumeSegmenterConfig) -> Tensor:
    """An input of the export size, 1 C D H W."""
    return torch.zeros(1, config.input_chans, *config.window)
