"""Techniques of the face models: what they change at first (nothing), what they train, and what their losses reward."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from vitapps.errors import UsageError
from vitapps.shared_backbones.heads.hypersphere import HypersphereHead, alignment, uniformity
from vitapps.shared_backbones.models.iml_vit import ImlViT, ImlViTConfig, NoiseAmplifier, localization_loss
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.peft.cdc_adapter import CdcAdapter, CdcAdapterConfig, adapt
from vitapps.shared_backbones.peft.ln_tuning import tune_norms
from vitapps.shared_backbones.peft.ppcr import proxy_loss
from vitapps.shared_backbones.ssl.fsfm import REGIONS, Fsfm, FsfmConfig, crfr_p_mask, face_regions

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def small_vit(**changes: object) -> ViT:
    torch.manual_seed(0)
    config = {"image_size": (64, 64), "patch": (8, 8), "dim": 32, "depth": 2, "heads": 2, "num_classes": 2} | changes
    return ViT(ViTConfig(**config))  # type: ignore[arg-type]


def test_adapters_change_nothing_at_first_and_train_alone() -> None:
    plain, adapted = small_vit(), small_vit()
    trained = adapt(adapted, CdcAdapterConfig())
    torch.testing.assert_close(adapted(IMAGES), plain(IMAGES), rtol=0, atol=0)
    assert {id(item) for item in trained} == {id(item) for item in adapted.parameters() if item.requires_grad}
    torch.nn.init.normal_(trained[-2])
    assert (adapted(IMAGES) - plain(IMAGES)).abs().max() > 1e-3
    adapted(IMAGES).sum().backward()
    assert all(item.grad is not None for item in trained)


def testcentral_difference_is_blind_to_what_is_flat() -> None:
    """With theta 1 the inner cells of a constant map give zero; with theta 0 it is a plain convolution."""
    flat = torch.ones(1, 4, 6, 6)
    full = CdcAdapter(8, CdcAdapterConfig(dim=4, theta=1.0)).central_difference(flat)
    assert full[..., 1:-1, 1:-1].abs().max() < 1e-6
    torch.manual_seed(1)
    adapter = CdcAdapter(8, CdcAdapterConfig(dim=4, kernels=1, theta=0.0))
    x = torch.rand(3, 4, 6, 6)
    torch.testing.assert_close(
        adapter.central_difference(x), functional.conv2d(x, adapter.kernels[0][:, None], padding=1, groups=4)
    )


def test_pictures_do_not_share_their_kernels() -> None:
    torch.manual_seed(2)
    adapter = CdcAdapter(8, CdcAdapterConfig(dim=4))
    x = torch.rand(2, 4, 5, 5)
    alone = torch.cat([adapter.central_difference(part[None]) for part in x])
    torch.testing.assert_close(adapter.central_difference(x), alone)


def test_proxies_pull_their_own_class() -> None:
    proxies, classes = torch.eye(4), torch.tensor([0, 1, 0, 1])
    labels = torch.tensor([0, 1])
    right, wrong = torch.eye(4)[[0, 3]], torch.eye(4)[[3, 0]]
    assert proxy_loss(right, labels, proxies, classes) < 0.01 < proxy_loss(wrong, labels, proxies, classes)
    with pytest.raises(UsageError):
        proxy_loss(right, torch.tensor([0, 5]), proxies, classes)


def test_norm_tuning_leaves_the_rest() -> None:
    vit = small_vit()
    trained = tune_norms(vit)
    assert len(trained) == 2 * 5  # two a block and the last
    assert sum(item.numel() for item in vit.parameters() if item.requires_grad) == 10 * 32


def test_hypersphere_head_ignores_length_and_its_losses() -> None:
    vit, head = small_vit(num_classes=0, pool="none"), HypersphereHead(32, 2)
    features = vit.forward_features(IMAGES)
    assert head.embed(features).norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    labels = torch.tensor([0, 0, 1, 1])
    close = functional.normalize(torch.tensor([[1.0, 0], [1, 0.01], [-1, 0], [-1, 0.01]]), dim=1)
    mixed = close[[0, 2, 1, 3]]
    assert alignment(close, labels) < 0.01 < 1 < alignment(mixed, labels)
    assert alignment(close[[0, 2]], torch.tensor([0, 1])) == 0
    assert uniformity(close) < uniformity(close[[0, 0, 1, 1]]) <= 0


def test_masks_cover_one_region_and_the_ratio() -> None:
    regions = face_regions((14, 14))
    assert set(regions.tolist()) == set(range(len(REGIONS)))
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(20):
        hidden, covered = crfr_p_mask(regions, 0.75, generator)
        assert int(hidden.sum()) == pytest.approx(0.75 * 196, abs=1)
        assert bool(hidden[covered].all()) and len(regions[covered].unique()) == 1
        shares = [hidden[(regions == name) & ~covered].float().mean() for name in regions[~covered].unique()]
        assert max(shares) - min(shares) < 0.35  # in proportion, as far as small regions allow
        seen.add(int(regions[covered][0]))
    assert len(seen) > 2


def test_pre_training_learns_and_its_teacher_follows() -> None:
    encoder = small_vit(num_classes=0, pool="none", class_token=False)
    learner = Fsfm(encoder, FsfmConfig())
    optimizer = torch.optim.AdamW([item for item in learner.parameters() if item.requires_grad], lr=3e-3)
    before = [item.clone() for item in learner.teacher.parameters()]
    losses = []
    for step in range(12):
        loss = learner.loss(IMAGES, torch.Generator().manual_seed(step % 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.update()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(item.grad is None for item in learner.teacher.parameters())
    assert any((old != new).any() for old, new in zip(before, learner.teacher.parameters(), strict=True))


def test_localizer_shapes_and_the_untrained_amplifier() -> None:
    torch.manual_seed(0)
    config = ImlViTConfig(window=(64, 96), dim=32, depth=2, heads=2, local=2, decoder=16)
    model = ImlViT(config).eval()
    x = torch.rand(2, 3, 64, 96)
    found = model(x)
    assert found.shape == (2, 1, 16, 24) and found.min() >= 0 and found.max() <= 1
    assert model.amplifier is not None
    amplifier, model.amplifier = model.amplifier, None
    torch.testing.assert_close(model(x), found)  # strength 0: as without
    amplifier.strength.data.fill_(1.0)
    model.amplifier = amplifier
    assert (model(x) - found).abs().max() > 1e-6


def test_amplifier_joins_tokens_of_unlike_noise() -> None:
    torch.manual_seed(0)
    image = torch.full((1, 3, 32, 32), 0.5)
    image[..., 16:] += 0.2 * torch.randn(1, 3, 32, 16)
    amplifier = NoiseAmplifier(16, 16)
    amplifier.strength.data.fill_(1.0)
    scores = amplifier(image)[0, 0]  # tokens 0, 2 without noise; 1, 3 with
    assert scores[0, 1] > scores[0, 2] and scores.diagonal().abs().max() < 1e-5


def test_edges_weigh_more() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    right = (mask * 2 - 1) * 4
    inner, edge = right.clone(), right.clone()
    inner[..., 14:18, 14:18] *= -1
    edge[..., 8:12, 8:12] *= -1
    assert localization_loss(edge, mask) > localization_loss(inner, mask) > localization_loss(right, mask)
