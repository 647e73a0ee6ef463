"""LoRA's contract: it starts as nothing, merges to the same function, and goes without a trace."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.tracker import Tracker, TrackerConfig
from vitapps.shared_backbones.peft.lora import LoraLinear, attach, merge, remove

IMAGE = (1, 4, 96, 160)


@pytest.fixture
def tracker() -> Tracker:
    torch.manual_seed(0)
    return Tracker(TrackerConfig(search=96, template=64, dim=32, depth=1, heads=2)).eval()


def disturb(module: torch.nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, LoraLinear):
            torch.nn.init.normal_(part.up, std=0.1)


def test_it_starts_as_nothing_and_trains_little(tracker: Tracker) -> None:
    image = torch.rand(IMAGE)
    before = tracker(image)
    total = sum(part.numel() for part in tracker.parameters())
    names = attach(tracker, rank=2, within=("blocks",))
    assert names == ["blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2"]
    assert all(torch.equal(a, b) for a, b in zip(tracker(image), before, strict=True))
    trained = sum(part.numel() for part in tracker.parameters() if part.requires_grad)
    assert trained == 2 * (32 + 96 + 32 + 32 + 32 + 128 + 128 + 32) < total / 10
    tracker(image)[0].sum().backward()
    assert tracker.get_submodule("blocks.0.attn.qkv").up.grad.abs().sum() > 0


def test_merged_it_computes_the_same(tracker: Tracker) -> None:
    image = torch.rand(IMAGE)
    plain = tracker(image)
    attach(tracker, rank=4, alpha=8)
    disturb(tracker)
    changed = tracker(image)
    assert not torch.allclose(changed[0], plain[0], atol=1e-3)
    merge(tracker)
    assert not any(isinstance(part, LoraLinear) for part in tracker.modules())
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(tracker(image), changed, strict=True))
    assert all(part.requires_grad for part in tracker.parameters())


def test_removed_it_leaves_no_trace(tracker: Tracker) -> None:
    before = {name: value.clone() for name, value in tracker.state_dict().items()}
    attach(tracker, rank=3)
    disturb(tracker)
    remove(tracker)
    after = tracker.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_senseless_requests(tracker: Tracker) -> None:
    with pytest.raises(UsageError):
        attach(tracker, rank=0)
    with pytest.raises(UsageError):
        attach(tracker, within=("nothing",))
    attach(tracker)
    with pytest.raises(UsageError):
        attach(tracker)
