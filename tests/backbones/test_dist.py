"""DiST: the image network learns nothing and keeps no activations; motion is told that single frames do not hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.models import build
from vitapps.shared_backbones.models.dist import Dist, DistConfig

IMAGE: dict[str, Any] = {"image_size": [24, 24], "patch": [4, 4], "dim": 32, "depth": 4, "heads": 2}
CONFIG = DistConfig(num_classes=2, image=IMAGE, frames=6, ratio=2, channels=12, dim=24, levels=2)


def moving(labels: Tensor, seed: int) -> Tensor:
    """A bright square that wanders right (1) or left (0) round a torus, from anywhere: B 3 6 24 24."""
    generator = torch.Generator().manual_seed(seed)
    clips = torch.zeros(len(labels), 3, 6, 24, 24)
    for clip, label in zip(clips, labels.tolist(), strict=True):
        y, x = torch.randint(0, 24, (2,), generator=generator).tolist()
        square = torch.zeros(3, 24, 24)
        square[:, :5, :5] = 1.0
        for time in range(6):
            clip[:, time] = square.roll((y, x + (2 if label else -2) * time), (1, 2))
    return clips


def test_the_image_network_is_frozen_and_forgets() -> None:
    torch.manual_seed(0)
    module = Dist(CONFIG).train()
    assert not module.spatial.training
    seen = module.look(torch.rand(2, 3, 3, 24, 24))
    assert [item.shape for item in seen] == [(2, 108, 32)] * 2
    assert not any(item.requires_grad for item in seen)
    logits, embedding = module(torch.rand(2, 3, 6, 24, 24))
    assert (logits.shape, embedding.shape) == ((2, 2), (2, 24))
    logits.sum().backward()
    assert all(weight.grad is None for weight in module.spatial.parameters())
    own = [weight for name, weight in module.named_parameters() if not name.startswith("spatial.")]
    assert all(weight.grad is not None for weight in own)


def test_levels_are_spread_over_the_image_network() -> None:
    assert Dist(CONFIG).layers == (1, 3)
    frames = torch.rand(1, 3, 2, 24, 24)
    module = Dist(CONFIG).eval()
    alone = module.spatial.forward_features(frames[:, :, 1], return_layers=(3,)).intermediates[3][:, 1:]
    assert torch.allclose(module.look(frames)[1][:, 36:], alone, atol=1e-5)


def test_left_from_right_is_told_by_motion_alone() -> None:
    """At least 95 %, where the mean of the frozen frames' features gets at most 60 %."""
    torch.manual_seed(0)
    module = Dist(CONFIG).train()
    optimizer = torch.optim.AdamW([item for item in module.parameters() if item.requires_grad], 3e-3)
    generator = torch.Generator().manual_seed(1)
    for step in range(60):
        labels = torch.randint(0, 2, (16,), generator=generator)
        loss = functional.cross_entropy(module(moving(labels, step))[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    labels = torch.arange(100) % 2
    clips = moving(labels, 999)
    with torch.inference_mode():
        found = module.eval()(clips)[0].argmax(dim=1)
        frozen = torch.cat([item.mean(dim=1) for item in module.look(clips)], dim=1).numpy()
    assert float((found == labels).float().mean()) >= 0.95
    known, asked = np.arange(60), np.arange(60, 100)
    peer = LogisticRegression(max_iter=500).fit(frozen[known], labels[known].numpy())
    assert float((peer.predict(frozen[asked]) == labels[asked].numpy()).mean()) <= 0.6


def test_it_is_built_from_a_card_and_refuses_nonsense() -> None:
    module = build("dist", {"num_classes": 3, "image": IMAGE, "frames": 4, "levels": 1})
    assert module(torch.rand(1, 3, 4, 24, 24))[0].shape == (1, 3)
    with pytest.raises(UsageError, match="ratio"):
        DistConfig(num_classes=2, image=IMAGE, frames=5, ratio=2)
    with pytest.raises(UsageError, match="levels"):
        DistConfig(num_classes=2, image=IMAGE, levels=9)
