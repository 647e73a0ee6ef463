"""The encoder attack stays within eps, reaches the target's features, and beats noise of the same size."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit_embedder import ViTEmbedder, ViTEmbedderConfig
from vitapps.shared_backbones.robust.encoder_attack import encoder_attack

EPS = 8 / 255


@pytest.fixture(scope="module")
def encoder() -> ViTEmbedder:
    torch.manual_seed(0)
    module = ViTEmbedder(ViTEmbedderConfig(size=24, patch=6, dim=32, depth=2, heads=4, embedding=16)).eval()
    for parameter in module.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return module.requires_grad_(False)


def distance(encoder: ViTEmbedder, images: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return (encoder(images) - encoder(goal)).norm(dim=1)


def test_targeted(encoder: ViTEmbedder) -> None:
    images = torch.rand(4, 3, 24, 24)
    goal = (images + 0.1 * torch.randn(4, 3, 24, 24)).clamp(0, 1)
    changed = encoder_attack(encoder, images, target=goal, eps=EPS)
    assert (changed - images).abs().max() <= EPS + 1e-6 and changed.min() >= 0 and changed.max() <= 1
    before = distance(encoder, images, goal)
    assert (distance(encoder, changed, goal) <= 0.2 * before).all()
    noise = (images + EPS * torch.sign(torch.randn_like(images))).clamp(0, 1)
    assert (distance(encoder, noise, goal) > 0.5 * before).all()


def test_untargeted_goes_farther_than_noise(encoder: ViTEmbedder) -> None:
    images = torch.rand(4, 3, 24, 24)
    changed = encoder_attack(encoder, images, eps=EPS, steps=20)
    noise = (images + EPS * torch.sign(torch.randn_like(images))).clamp(0, 1)
    assert (distance(encoder, changed, images) > 3 * distance(encoder, noise, images)).all()


def test_no_strength_changes_nothing_and_seeds_repeat(encoder: ViTEmbedder) -> None:
    images = torch.rand(1, 3, 24, 24)
    assert torch.equal(encoder_attack(encoder, images, eps=0.0, steps=2), images)
    first, again = (encoder_attack(encoder, images, eps=EPS, steps=3, seed=1) for _ in range(2))
    assert torch.equal(first, again)
    with pytest.raises(UsageError):
        encoder_attack(encoder, images, eps=2.0)
    with pytest.raises(UsageError):
        encoder_attack(encoder, images, steps=0)
