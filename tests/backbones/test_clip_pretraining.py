"""AdaMAE, UMT and V-JEPA: what is seen, which weights a loss reaches, and that what can be guessed is learnt."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.ssl._clip_tokens import encode
from vitapps.shared_backbones.ssl.adamae import AdaMae, AdaMaeConfig, draw
from vitapps.shared_backbones.ssl.umt import UmtConfig, UnmaskedTeacher, align
from vitapps.shared_backbones.ssl.vjepa import VJepa, VJepaConfig, block_places


def clip_encoder(frames: int = 2, **changes: object) -> ViT:
    torch.manual_seed(0)
    return ViT(
        ViTConfig(
            in_chans=1, image_size=(4, 16, 16), patch=(frames, 4, 4), dim=24, depth=1, heads=2, class_token=False,
            pos="sincos", pool="mean", **changes,  # type: ignore[arg-type]
        )
    )  # fmt: skip


def adamae(**changes: float) -> AdaMae:
    return AdaMae(clip_encoder(), AdaMaeConfig(decoder_dim=24, decoder_depth=1, decoder_heads=2, **changes))  # type: ignore[arg-type]


def vjepa() -> VJepa:
    return VJepa(clip_encoder(), VJepaConfig(momentum=0.9, predictor_dim=24, predictor_depth=1, predictor_heads=2))


def teacher() -> ViT:
    torch.manual_seed(1)
    return ViT(ViTConfig(in_chans=1, image_size=(16, 16), patch=(4, 4), dim=16, depth=2, heads=2))


def umt() -> UnmaskedTeacher:
    return UnmaskedTeacher(clip_encoder(frames=1), teacher(), UmtConfig(hidden=0.75, layers=1))


def seeded(number: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def clip() -> Tensor:
    return torch.randn(3, 1, 4, 16, 16, generator=seeded())


def reached(loss: Tensor, part: nn.Module) -> set[bool]:
    """Whether the gradient of `loss` is there, over the weights of `part`."""
    found = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)
    return {grad is not None and bool(grad.abs().sum() > 0) for grad in found}


def test_adamae_sees_a_share_of_distinct_tubelets() -> None:
    module = adamae(hidden=0.95)
    assert [module.visible(n) for n in (32, 40, 1568)] == [2, 2, 79]  # ceil of 5 %
    chances = module.log_chances(clip())
    assert torch.allclose(chances.exp().sum(dim=1), torch.ones(3))
    seen, hidden = draw(chances, 2, seeded())
    both = torch.cat([seen, hidden], dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(32).expand(3, -1))
    with pytest.raises(UsageError, match="hidden"):
        adamae(hidden=1.0).losses(clip())


def test_draws_follow_the_chances() -> None:
    chances = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(20000, -1)
    seen, _ = draw(chances, 1, seeded())
    share = torch.bincount(seen[:, 0], minlength=4) / 20000
    assert torch.allclose(share, chances[0].exp(), atol=0.015)


def test_adamae_keeps_its_two_losses_apart() -> None:
    module = adamae(hidden=0.75)
    nn.init.normal_(module.score.weight, std=0.1)
    found = module.losses(clip(), seeded())
    assert reached(found.rebuild, module.encoder.blocks) == {True}
    assert reached(found.rebuild, module.mixer) == reached(found.rebuild, module.score) == {False}
    assert reached(found.sample, module.encoder) == reached(found.sample, module.decoder) == {False}
    assert True in reached(found.sample, module.mixer) and True in reached(found.sample, module.score)
    order = draw(module.log_chances(clip()), 8, seeded())[1]
    wanted = -(module.log_chances(clip()).gather(1, order) * found.error.detach()).mean()
    assert torch.allclose(found.sample, wanted)


def test_adamae_comes_to_see_what_is_hard_to_guess() -> None:
    """Noise that changes in one quarter of the picture: its tubelets get more than their share."""
    module = adamae(hidden=0.75)
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3)
    generator = seeded()
    for _ in range(60):
        ramp = torch.linspace(-1, 1, 16).expand(4, 1, 4, 16, 16).clone()
        ramp[..., :8, :8] = torch.randn(4, 1, 4, 8, 8, generator=generator)
        loss = module(ramp, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mass = module.log_chances(ramp).exp().mean(dim=0).reshape(2, 4, 4)
    assert float(mass[:, :2, :2].sum()) > 2 * 0.25


def test_vjepa_hides_most_of_a_clip_at_all_times() -> None:
    config = VJepaConfig()
    blocks = (config.short, config.long)
    shares = []
    for number in range(20):
        seen, hidden = block_places(1, (2, 14, 14), blocks, seeded(number))
        assert torch.equal(torch.cat([seen, hidden], dim=1).sort().values[0], torch.arange(392))
        half = hidden.shape[1] // 2
        assert torch.equal(hidden[0, :half] + 196, hidden[0, half:])  # the same places at both times
        shares.append(hidden.shape[1] / 392)
    assert max(shares) < 1
    assert 0.85 < sum(shares) / len(shares) < 0.95
    seen, hidden = block_places(5, (2, 14, 14), blocks, seeded())
    assert seen.shape[0] == 5
    assert not torch.equal(hidden[0], hidden[1])


def test_vjepa_targets_are_a_moving_average_without_gradient() -> None:
    module = vjepa().train()
    with torch.no_grad():
        for weight in module.encoder.parameters():
            weight.add_(1.0)
    before = [weight.clone() for weight in module.target.parameters()]
    loss = module(clip(), seeded())
    for old, kept, new in zip(before, module.target.parameters(), module.encoder.parameters(), strict=True):
        assert torch.allclose(kept, 0.9 * old + 0.1 * new)
    loss.backward()
    assert all(weight.grad is None for weight in module.target.parameters())
    assert all(weight.grad is not None for weight in module.predictor.parameters())
    found = module.wanted(clip())
    assert not found.requires_grad
    assert torch.allclose(found.mean(dim=2), torch.zeros(3, 32), atol=1e-5)
    held = [weight.clone() for weight in module.target.parameters()]
    module.eval()(clip(), seeded())
    assert all(torch.equal(*pair) for pair in zip(held, module.target.parameters(), strict=True))


def test_a_context_knows_nothing_of_what_is_hidden() -> None:
    module = vjepa().eval()
    seen, hidden = block_places(3, (2, 4, 4), [(2, 0.4)], seeded())
    mask = torch.zeros(3, 32, dtype=torch.bool).scatter(1, hidden, True).reshape(3, 1, 2, 4, 4)
    pixels = mask.repeat_interleave(2, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    other = torch.where(pixels, clip() + 9, clip())
    with torch.inference_mode():
        assert torch.equal(encode(module.encoder, clip(), seen), encode(module.encoder, other, seen))
        assert not torch.equal(module.wanted(clip()), module.wanted(other))


def test_umt_sees_as_much_of_every_frame_and_more_of_what_the_teacher_attends_to() -> None:
    module = umt()
    attention = torch.linspace(1, 16, 16).expand(400, 4, 16) / 136
    places = module.choose(attention, seeded())
    assert places.shape == (400, 16)
    frames = (places // 16).reshape(400, 4, 4)
    assert torch.equal(frames, torch.arange(4)[None, :, None].expand_as(frames))
    counts = torch.bincount((places % 16).flatten(), minlength=16).double()
    rank = torch.corrcoef(torch.stack([counts.argsort().argsort().double(), torch.arange(16).double()]))[0, 1]
    assert rank > 0.9
    assert all(len(set(row.tolist())) == 4 for row in (places % 16)[:50].reshape(-1, 4))


def test_umt_reads_the_teacher_frame_by_frame() -> None:
    module = umt()
    features, attention = module.look(clip())
    assert (len(features), features[0].shape, attention.shape) == (1, (3, 64, 16), (3, 4, 16))
    alone = module.teacher.forward_features(clip()[:, :, 2]).tokens[:, 1:]
    assert torch.allclose(features[0][:, 32:48], alone, atol=1e-5)
    loss = module.train()(clip(), seeded())
    assert 0 < float(loss) < 4
    loss.backward()
    assert all(weight.grad is None for weight in module.teacher.parameters())
    assert not module.teacher.training
    same = torch.randn(2, 5, 7, generator=seeded())
    assert float(align(3 * same, same)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(UsageError, match="over 2 frames"):
        UnmaskedTeacher(clip_encoder(), teacher(), UmtConfig())


@pytest.mark.parametrize("make", [adamae, vjepa, umt])
def test_what_can_be_guessed_is_learnt(make: Callable[[], nn.Module]) -> None:
    module = make().train()
    generator = seeded()
    ramp = torch.linspace(-1, 1, 16)[None, None, None, None].expand(4, 1, 4, 16, 16)
    optimizer = torch.optim.AdamW([item for item in module.parameters() if item.requires_grad], 3e-3)
    losses = []
    for _ in range(40):
        loss = module(ramp, generator) if not isinstance(module, AdaMae) else module.losses(ramp, generator).rebuild
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_a_class_token_is_refused() -> None:
    encoder = ViT(ViTConfig(image_size=(4, 16, 16), patch=(2, 4, 4), dim=24, depth=1, heads=2))
    for make in (lambda: AdaMae(encoder, AdaMaeConfig()), lambda: VJepa(encoder, VJepaConfig())):
        with pytest.raises(UsageError, match="class token"):
            make()
