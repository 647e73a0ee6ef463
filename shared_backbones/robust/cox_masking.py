"""Training a tracker against occlusion: the template's tokens should say the same when parts of it are covered.

ORTrack (S029, Wu et al. 2025, "Learning Occlusion-Robust Vision Transformers for Real-Time UAV Tracking"): patches of
the template are masked by a spatial Cox process, a Poisson process whose intensity is itself random and gathers about
the middle of the target, and the mean squared difference of the template's features with and without the mask is added
to the loss. The distillation of ORTrack-D is `distill/adaptive_features.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vitapps.shared_backbones.models.tracker import STRIDE, Tracker

CARD = {
    "id": "S029",
    "name": "cox_masking",
    "family": "robust",
    "paper": "Wu et al. 2025, ORTrack, arXiv:2504.09228",
    "equation": "section on occlusion-robust representations: Cox-masked template, mean squared difference of features",
    "deviations": "the field's randomness is one Gamma factor a sample and one a patch, smoothed; written from the"
    " paper's description, its code was not compared",
    "slots": [],
    "cost": "a second forward and backward pass in training, nothing at inference",
    "status": "paper",
}

GREY = 0.45  # what covers a patch: the mean that the tracker subtracts


def cox_counts(batch: int, side: int, mean: float, generator: torch.Generator | None = None) -> Tensor:
    """B side side: points of the process in each cell; `mean` points a sample on average, most in the middle."""
    place = (torch.arange(side) + 0.5) / side - 0.5
    bump = torch.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 0.3**2))
    intensity = mean * bump / bump.sum()  # its integral is `mean`
    noise = _gamma((batch, 1, side, side), 1.0, generator)
    field = functional.avg_pool2d(functional.pad(noise, (1, 1, 1, 1), mode="replicate"), 3, 1)[:, 0]  # clusters
    level = _gamma((batch, 1, 1), 4.0, generator)
    return torch.poisson(intensity * field * level, generator=generator)


def covered(image: Tensor, template: int, counts: Tensor) -> Tensor:
    """B 4 S S+T with the template's patches where `counts` (B t t) is above 0 in grey; the mask channel stays."""
    patches = (counts > 0).to(image).repeat_interleave(STRIDE, 1).repeat_interleave(STRIDE, 2)[:, None]  # B 1 T T
    out = image.clone()
    start = image.shape[-1] - template
    part = out[:, :3, :template, start:]
    out[:, :3, :template, start:] = part + (GREY - part) * patches.to(image.device)
    return out


def invariance_loss(module: Tracker, image: Tensor, counts: Tensor) -> Tensor:
    """Mean squared difference of the template's tokens with and without the cover; 0 where nothing is covered."""
    if not bool((counts > 0).any()):
        return image.new_zeros(())
    first = module.config.grid**2
    whole = module.tokens(image)[:, first:]
    hidden = module.tokens(covered(image, module.config.template, counts))[:, first:]
    return (whole.float() - hidden.float()).square().mean()


def _gamma(shape: tuple[int, ...], concentration: float, generator: torch.Generator | None) -> Tensor:
    """Gamma variates of mean 1, as sums of exponentials: those that torch draws take no generator."""
    draws = torch.empty((round(concentration), *shape)).exponential_(1.0, generator=generator)
    return draws.sum(dim=0) / concentration
