"""Self-slimming, its distillation, and the history router, each against what its paper promises."""

from __future__ import annotations

import torch
from torch import Tensor

from vitapps.shared_backbones.distill.feature_recalibration import ReverseSlimming, recalibration_loss
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.token_reduction._protocol import restore, start
from vitapps.shared_backbones.token_reduction.history import HistoryRouter
from vitapps.shared_backbones.token_reduction.sit import SiT


def picking(reducer: SiT, x: Tensor, order: Tensor) -> SiT:
    """Make the scoring module so sure of itself that new token j is patch order[j]."""
    with torch.no_grad():
        keys = reducer.act(reducer.hidden(reducer.norm(x)))[0]  # n hidden
        centred = keys - keys.mean(dim=0)
        reducer.wishes.copy_(torch.linalg.pinv(centred).t()[order] * 4000)
    return reducer


def test_shares_sum_to_one_and_sure_shares_are_a_hard_choice() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 12, 64)
    reducer = SiT(64, 12)
    slimmed, shares = reducer.slim(x, 5)
    torch.testing.assert_close(shares.sum(-1), torch.ones(1, 5))
    torch.testing.assert_close(slimmed, shares @ x)
    order = torch.randperm(12)
    chosen, hard = picking(reducer, x, order).slim(x, 5)
    torch.testing.assert_close(chosen, x[:, order[:5]], rtol=1e-4, atol=1e-4)
    whole, _ = picking(reducer, x, torch.arange(12)).slim(x, 12)
    torch.testing.assert_close(whole, x, rtol=1e-4, atol=1e-4)  # as many as there are: the dense model
    y, state = picking(reducer, x, order)(x, start(x, 0), 7)
    back = restore(y, state)
    torch.testing.assert_close(back[:, order[:5]], x[:, order[:5]], rtol=1e-4, atol=1e-4)
    assert hard.amax(-1).min() > 0.99


def test_distillation_draws_a_slimmed_student_to_its_teacher() -> None:
    torch.manual_seed(0)
    config = {"image_size": (16, 16), "patch": (4, 4), "dim": 32, "depth": 2, "heads": 2, "num_classes": 4}
    teacher = ViT(ViTConfig(**config)).eval()  # type: ignore[arg-type]
    student = ViT(ViTConfig(**config, reducer="sit", reduce=(8,)))  # type: ignore[arg-type]
    student.load_state_dict(teacher.state_dict(), strict=False)
    reverse = ReverseSlimming(9, 17, 32)  # class token and 8 of 16 patches
    x, labels = torch.randn(16, 3, 16, 16), torch.randint(0, 4, (16,))
    with torch.no_grad():
        wanted, answer = teacher.forward_features(x).tokens, teacher(x)
    optimizer = torch.optim.Adam([*student.parameters(), *reverse.parameters()], lr=4e-3)
    losses = []
    for _ in range(40):
        tokens, *_ = student._run(x, {})
        assert tokens.shape[1] == 9
        loss = recalibration_loss([reverse(tokens)], [wanted], (student(x), answer), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert recalibration_loss([wanted], [wanted], (answer, answer)) < 1e-6
    assert not any("reverse" in name for name, _ in student.named_modules())  # nothing of it stays


def test_history_finds_the_objects_again_and_random_choice_does_not() -> None:
    """Objects move and change a little from frame to frame; 30 % of the patches are routed."""
    torch.manual_seed(0)
    grid, kept, hits, chance, total = (12, 12), 43, 0, 0, 0
    for _ in range(10):
        objects = torch.randn(1, 3, 32)
        x = 0.6 * torch.randn(1, 144, 32)
        at = torch.randperm(100)[:3] + 13
        covered = torch.cat([at + shift for shift in (0, 1, 12, 13)])
        x[0, covered] += objects[0].repeat(4, 1)
        places = torch.stack((at // 12, at % 12), dim=-1)[None] / 12 + 0.08
        router = HistoryRouter(2, grid)
        same, state = router(x, start(x, 0), 144 - kept)
        assert same is x and state.source.min() == 0  # no history: the dense network
        router.remember(objects, places)
        y, state = router(x, start(x, 0), 144 - kept)
        assert y.shape[1] == kept and torch.equal(restore(y, state), x)  # the others come back where they were
        hits += int((state.source[0, covered] >= 0).sum())
        chance += int((torch.randperm(144)[covered] < kept).sum())
        total += len(covered)
    assert hits >= 0.95 * total and chance < 0.5 * total
