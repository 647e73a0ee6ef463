"""Plain detector: a convolutional stem to stride 8, a plain ViT at stride 16, a simple pyramid to stride 4, a head.

    image 0..1      B 3 H W       each colour brought to mean 0 and deviation about 1 over its own window
    stem            B C1 at 4, B C2 at 8 (pixel unshuffle to stride 2 first)
    plain ViT       tokens of 2x2 cells of the stride-8 map, `models/vit.py`
    pyramid         16 -> 8 -> 4 by nearest upsampling, the stem's maps are added
    head            `heads/detect.py` at stride 4

ViTDet (Li et al. 2022, arXiv:2203.16527) gives the shape: one plain ViT and a pyramid built from its last map alone.
Deviations: the patch embedding is preceded by convolutions (Xiao et al. 2021, arXiv:2106.14881) whose maps are added in
the pyramid, since a few dozen tiles do not teach a linear patch embedding its filters; one output level. Normalising
every window by its own colour statistics is what lets a model of one site's light and sensor work at another's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.heads.detect import DetectHead
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "ViTDet",
    "name": "plain_detector",
    "family": "models",
    "paper": "Li et al. 2022, arXiv:2203.16527",
    "equation": "Fig. 2 (simple feature pyramid)",
    "deviations": "convolutional stem with added skips, one output level, anchor-free head, window-wise colour norm",
    "slots": [],
    "cost": "about 1.3 GFLOP for a window of 256 x 256",
    "status": "core",
}

STRIDE = 4  # pixels a cell of the outputs
FLAT = 0.06  # added to a colour's deviation, so that a flat window does not become noise


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainTrunkConfig:
    """`window` H W in pixels, multiples of 16."""

    in_chans: int = 3
    window: tuple[int, int] = (256, 256)
    stem: tuple[int, int, int] = (16, 32, 64)  # channels at strides 2, 4, 8
    dim: int = 128
    depth: int = 4
    heads: int = 4
    mlp_ratio: float = 4.0
    pyramid: tuple[int, int] = (48, 64)  # channels at strides 4, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainDetectorConfig(PlainTrunkConfig):
    """`unit` pixels: half the side of the box that an untrained head gives; `points` landmarks of every object, 0 for
    none."""

    num_classes: int = 1
    unit: float = 20.0
    points: int = 0


class ConvBlock(nn.Module):
    """3x3 convolution, group normalisation, GELU; `stride` 2 halves the grid."""

    def __init__(self, in_chans: int, dim: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, dim, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(dim // 8, dim)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))  # B C H W -> B dim H/stride W/stride
        return out


class PlainTrunk(nn.Module):
    """Stem, plain ViT and pyramid: an image 0..1 `B C H W` to a map `B pyramid[0] H/4 W/4`."""

    def __init__(self, config: PlainTrunkConfig) -> None:
        super().__init__()
        half, fine, coarse = config.stem
        up_fine, up_coarse = config.pyramid
        self.stem_half = ConvBlock(config.in_chans * 4, half)
        self.stem_fine = nn.Sequential(ConvBlock(half, fine, stride=2), ConvBlock(fine, fine))
        self.stem_coarse = nn.Sequential(ConvBlock(fine, coarse, stride=2), ConvBlock(coarse, coarse))
        self.vit = ViT(_vit_config(config))
        self.from_tokens = nn.Conv2d(config.dim, up_coarse, 1)
        self.skip_coarse = nn.Conv2d(coarse, up_coarse, 1)
        self.pyramid_coarse = ConvBlock(up_coarse, up_coarse)
        self.to_fine = nn.Conv2d(up_coarse, up_fine, 1)
        self.skip_fine = nn.Conv2d(fine, up_fine, 1)
        self.pyramid_fine = ConvBlock(up_fine, up_fine)

    def pyramid(self, x: Tensor) -> Tensor:
        """The finest pyramid map, B C H W -> B pyramid[0] H/4 W/4."""
        return self.maps(x)[0]

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The finest pyramid map B pyramid[0] H/4 W/4, and that of the tokens B dim H/16 W/16."""
        fine = self.stem_fine(self.stem_half(functional.pixel_unshuffle(even_colours(x), 2)))  # -> B C1 H/4 W/4
        coarse = self.stem_coarse(fine)  # -> B C2 H/8 W/8
        tokens = self.vit.forward_features(coarse).map()  # -> B dim H/16 W/16
        y = self.pyramid_coarse(_double(self.from_tokens(tokens)) + self.skip_coarse(coarse))  # -> B U2 H/8 W/8
        out: Tensor = self.pyramid_fine(_double(self.to_fine(y)) + self.skip_fine(fine))  # -> B U1 H/4 W/4
        return out, tokens


class PlainDetector(PlainTrunk):
    """See the module docstring. `forward(B 3 H W) -> (scores B K H/4 W/4 in 0..1, boxes B 4 H/4 W/4 in pixels)`, and
    points B 2k H/4 W/4 (x y, pixels) where the configuration asks for k of them."""

    def __init__(self, config: PlainDetectorConfig) -> None:
        super().__init__(config)
        self.config = config
        self.head = DetectHead(config.pyramid[0], config.num_classes, STRIDE, config.unit, config.points)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits, *places = self.forward_logits(x)
        return logits.sigmoid(), *places

    def forward_logits(self, x: Tensor) -> tuple[Tensor, ...]:
        """As `forward`, scores before the sigmoid."""
        maps: tuple[Tensor, ...] = self.head(self.pyramid(x))
        return maps


def even_colours(x: Tensor) -> Tensor:
    """Each colour of each window to mean 0 and deviation below 1; B C H W -> B C H W."""
    centred = x - x.mean(dim=(2, 3), keepdim=True)
    deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return centred / (deviation + FLAT)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")  # B C H W -> B C 2H 2W


def _vit_config(config: PlainTrunkConfig) -> ViTConfig:
    return ViTConfig(
        in_chans=config.stem[2],
        image_size=tuple(size // 8 for size in config.window),
        patch=(2, 2),
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        class_token=False,
        pos="learned",
        pool="none",
        num_classes=0,
    )


def window_example(config: PlainDetectorConfig) -> Tensor:
    """An input of the export size, 1 3 H W."""
    return torch.zeros(1, 3, *config.window)
