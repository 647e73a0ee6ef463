"""Text detector: where lines of writing run, how high they are, what stands beside them, and which way is up.

    grey 0..1       B 1 H W
    trunk           `models/plain_detector.py`: convolutional stem, plain ViT at stride 16, pyramid to stride 4
    kernel          B 1 H/4 W/4   chance that a cell lies in the middle band of a line of upright writing
    sides           B 2 H/4 W/4   pixels from the cell's centre up to the line's top and down to its foot
    regions         B 8 H/16 W/16 logits of the kind (nothing, text, table, figure) and of the quarter turn
                                  (0, 90, 180, 270 degrees clockwise) that makes the writing upright
    features        B 176 H/8 W/8 the trunk's fine map and its tokens, for heads that are trained on them as they are

The shrunk kernel that keeps neighbouring lines apart is that of DB (Liao et al. 2020, arXiv:1911.08947, section 3.4).
Deviations: no threshold map, since the distances give back what the shrinking took (FCOS, arXiv:1904.01355, eq. 1, with
two sides); a plain ViT in place of a ResNet with deformable convolutions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.models.plain_detector import PlainTrunk, PlainTrunkConfig

CARD = {
    "id": "DB",
    "name": "text_detector",
    "family": "models",
    "paper": "Liao et al. 2020, arXiv:1911.08947",
    "equation": "section 3.4 (shrunk kernels), eq. 4 (probability map)",
    "deviations": "plain ViT trunk, distances to top and foot instead of a threshold map and polygon growing, kinds of "
    "regions and quarter turns beside it",
    "slots": [],
    "cost": "about 2 GFLOP for a window of 320 x 320",
    "status": "core",
}

PRIOR = 0.1  # share of cells in a kernel: the bias starts there
KINDS = ("nothing", "text", "table", "figure")
TURNS = (0, 90, 180, 270)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDetectorConfig(PlainTrunkConfig):
    """`unit` pixels: the distance to top and foot that an untrained head gives."""

    in_chans: int = 1
    window: tuple[int, int] = (320, 320)
    mlp_ratio: float = 3.0
    unit: float = 9.0


class TextDetector(PlainTrunk):
    """See the module docstring. `forward(B 1 H W) -> (kernel 0..1, sides in pixels, regions, features)`."""

    def __init__(self, config: TextDetectorConfig) -> None:
        super().__init__(config)
        self.config = config
        self.line = nn.Conv2d(config.pyramid[0], 3, 3, 1, 1)
        self.region = nn.Conv2d(config.dim, len(KINDS) + len(TURNS), 1)
        nn.init.normal_(self.line.weight, std=0.01)
        with torch.no_grad():
            self.line.bias.copy_(torch.tensor([-math.log((1 - PRIOR) / PRIOR), 0.0, 0.0]))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fine, tokens = self.maps(x)
        logits, sides, regions = self._answers(fine, tokens)
        wide = functional.interpolate(tokens, scale_factor=2.0, mode="nearest")  # B C H/16 W/16 -> B C H/8 W/8
        features = torch.cat([functional.avg_pool2d(fine, 2), wide], dim=1)  # -> B C1+C H/8 W/8
        return logits.sigmoid(), sides, regions, features

    def forward_logits(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `forward`, the kernel before the sigmoid, without features."""
        return self._answers(*self.maps(x))

    def _answers(self, fine: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.line(fine).float()  # B C h w -> B 3 h w; bf16 has no fractions of pixels
        sides = self.config.unit * raw[:, 1:].clamp(-4, 4).exp()
        return raw[:, :1], sides, self.region(tokens).float()


def window_example(config: TextDetectorConfig) -> Tensor:
    """An input of the export size, 1 1 H W."""
    return torch.zeros(1, config.in_chans, *config.window)
