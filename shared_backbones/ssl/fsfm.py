"""FSFM: masked faces by region, and instance discrimination, for pre-training on unlabelled faces.

    CRFR-P mask   one region of the face (an eye, nose, mouth, ...) hidden wholly, the others in proportion
    masked part   mean squared error of normalised pixels, of all hidden patches plus a share for the covered region
    instances     the view with the mask (online, projector and predictor) against the whole view (momentum teacher)

Regions come from five landmarks in the aligned crop, as fixed areas of the patch grid: no parser is needed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.models.vit import ViT

CARD = {
    "id": "S065",
    "name": "fsfm",
    "family": "ssl",
    "paper": "FSFM, self-supervised facial representation (CVPR 2025)",
    "equation": "CRFR-P masking; reconstruction and instance discrimination losses",
    "deviations": "regions of the aligned template in the place of a parser; masked patches are blanked, not dropped",
    "slots": [],
    "cost": "two forward passes a step",
    "status": "paper",
}
REGIONS = ("skin", "right_eye", "left_eye", "nose", "mouth", "forehead", "surround")


@dataclass(frozen=True, kw_only=True, slots=True)
class FsfmConfig:
    """`ratio` of patches hidden, `covered` weight of the wholly hidden region, `momentum` of the teacher."""

    ratio: float = 0.75
    covered: float = 0.5
    instance: float = 0.1
    momentum: float = 0.99
    decoder_dim: int = 64


def face_regions(grid: tuple[int, int]) -> Tensor:
    """Region number of each patch of an aligned face (ArcFace template), h*w int64, in the order of `REGIONS`."""
    y = (torch.arange(grid[0]) + 0.5)[:, None] / grid[0]
    x = (torch.arange(grid[1]) + 0.5)[None] / grid[1]
    region = torch.full(grid, REGIONS.index("surround"))
    region[((x - 0.5) / 0.42) ** 2 + ((y - 0.56) / 0.5) ** 2 < 1] = REGIONS.index("skin")
    region[(region == 0) & (y < 0.36)] = REGIONS.index("forehead")
    places = {"right_eye": (0.34, 0.46, 0.13, 0.1), "left_eye": (0.66, 0.46, 0.13, 0.1), "nose": (0.5, 0.62, 0.1, 0.12),
              "mouth": (0.5, 0.83, 0.19, 0.1)}  # fmt: skip
    for name, (cx, cy, half_x, half_y) in places.items():
        region[((x - cx).abs() < half_x) & ((y - cy).abs() < half_y)] = REGIONS.index(name)
    return region.flatten()


def crfr_p_mask(regions: Tensor, ratio: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Hidden patches N bool, and those of the wholly covered region. `regions` N; round(ratio N) are hidden."""
    count = round(ratio * len(regions))
    names = regions.unique()
    sizes = torch.stack([(regions == name).sum() for name in names])
    names = names[(sizes <= count) & (names != REGIONS.index("surround"))]
    chosen = names[torch.randint(len(names), (1,), generator=generator)]
    covered = regions == chosen
    rest = torch.nonzero(~covered)[:, 0]
    share = (count - int(covered.sum())) / max(1, len(rest))
    # the same share of every other region: a random order within each, the first of each hidden
    rank = torch.zeros(len(regions))
    for name in regions[rest].unique():
        members = torch.nonzero((regions == name) & ~covered)[:, 0]
        order = torch.randperm(len(members), generator=generator)
        rank[members[order]] = (torch.arange(len(members)) + torch.rand(1, generator=generator)) / len(members)
    by_rank = rest[rank[rest].argsort()][: round(share * len(rest))]
    hidden = covered.clone()
    hidden[by_rank] = True
    return hidden, covered


class Fsfm(nn.Module):
    """`loss(images, generator) -> scalar`, `update()` moves the teacher. `encoder`: a ViT without pooling, classes."""

    def __init__(self, encoder: ViT, config: FsfmConfig) -> None:
        super().__init__()
        self.config, self.encoder = config, encoder
        dim, patch = encoder.config.dim, encoder.config.patch
        pixels = patch[0] * patch[1] * encoder.config.in_chans
        self.blank = nn.Parameter(torch.zeros(1, encoder.config.in_chans, 1, 1))
        self.decoder = nn.Sequential(
            nn.Linear(dim, config.decoder_dim), nn.GELU(), nn.Linear(config.decoder_dim, pixels)
        )
        self.projector = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.predictor = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.teacher_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.register_buffer("regions", face_regions((encoder.config.grid[0], encoder.config.grid[1])))

    def loss(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Both objectives on aligned faces B 3 H W in 0..1."""
        regions = self.get_buffer("regions")
        masks = [crfr_p_mask(regions.cpu(), self.config.ratio, generator) for _ in range(len(images))]
        hidden = torch.stack([mask[0] for mask in masks]).to(images.device)  # B N
        covered = torch.stack([mask[1] for mask in masks]).to(images.device)
        features = self.encoder.forward_features(self._hide(images, hidden))
        error = (self.decoder(features.tokens[:, features.prefix :]) - self._targets(images)).square().mean(dim=2)
        rebuilt = (error * hidden).sum() / hidden.sum() + self.config.covered * (error * covered).sum() / covered.sum()
        online = self.predictor(self.projector(features.tokens.mean(dim=1)))
        with torch.no_grad():
            goal = self.teacher_projector(self.teacher.forward_features(images).tokens.mean(dim=1))
        total: Tensor = rebuilt + self.config.instance * (1 - functional.cosine_similarity(online, goal)).mean()
        return total

    @torch.no_grad()
    def update(self) -> None:
        """The teacher follows the online weights by `momentum`."""
        for teacher, online in ((self.teacher, self.encoder), (self.teacher_projector, self.projector)):
            for kept, new in zip(teacher.parameters(), online.parameters(), strict=True):
                kept.lerp_(new, 1 - self.config.momentum)

    def _hide(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Hidden patches become one learned colour, B 3 H W."""
        patch, grid = self.encoder.config.patch, self.encoder.config.grid
        mask = hidden.reshape(-1, 1, *grid).float()
        mask = mask.repeat_interleave(patch[0], dim=2).repeat_interleave(patch[1], dim=3)  # -> B 1 H W
        return images * (1 - mask) + self.blank * mask

    def _targets(self, images: Tensor) -> Tensor:
        """Pixels of each patch, normalised by its own mean and deviation (He et al. 2022), B N P."""
        patch = self.encoder.config.patch
        parts = functional.unfold(images, patch, stride=patch).transpose(1, 2)  # B 3 H W -> B N P
        return (parts - parts.mean(dim=2, keepdim=True)) / (parts.var(dim=2, keepdim=True) + 1e-6).sqrt()
