"""LookupViT: cheaper than a ViT, one set of weights for every lookup grid, dense maps of the full grid."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vitapps.errors import UsageError
from vitapps.shared_backbones.models import build
from vitapps.shared_backbones.models.lookup_vit import LookupViT, LookupViTConfig, turned_round
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

TINY: dict[str, Any] = {
    "image_size": [24, 32], "patch": [4, 4], "dim": 24, "depth": 2, "heads": 2, "num_classes": 5, "registers": 2,
    "layer_scale": 0.5, "qk_norm": True,
}  # fmt: skip


def make(**changes: Any) -> LookupViT:
    torch.manual_seed(0)
    model = build("lookup_vit", {"vit": TINY | changes, "lookup": [3, 3]})
    assert isinstance(model, LookupViT)
    return model.eval()


def flops(model: torch.nn.Module, x: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return int(counter.get_total_flops())


def test_it_takes_little_more_than_half_of_a_vits_operations() -> None:
    sizes = {"image_size": (112, 112), "patch": (8, 8), "dim": 96, "depth": 2, "heads": 2, "num_classes": 10}
    x = torch.randn(1, 3, 112, 112)  # 14 x 14 patches
    dense = flops(ViT(ViTConfig(**sizes)), x)  # type: ignore[arg-type]
    assert flops(LookupViT(LookupViTConfig(vit=sizes, lookup=(5, 5))), x) <= 0.55 * dense


def test_the_way_back_is_the_transpose_with_rows_of_sum_one() -> None:
    attention = torch.rand(2, 3, 4, 7).softmax(-1)
    back = turned_round(attention)
    torch.testing.assert_close(back.sum(-1), torch.ones(2, 3, 7))
    share = attention.transpose(-1, -2)
    torch.testing.assert_close(back, share / share.sum(-1, keepdim=True))
    assert turned_round(torch.zeros(1, 1, 2, 2)).isfinite().all()


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_one_set_of_weights_serves_every_grid(pool: str) -> None:
    model, x = make(pool=pool), torch.randn(2, 3, 24, 32)
    answers = [model(x, lookup) for lookup in ((3, 3), (5, 5), (6, 8))]
    assert torch.equal(answers[0], model(x))
    assert all(answer.shape == (2, 5) for answer in answers) and not torch.equal(answers[0], answers[1])
    features = model.forward_features(x, (5, 5))
    assert features.map().shape == (2, 24, 6, 8) and features.prefix == 3
    assert model(torch.randn(1, 3, 32, 16)).shape == (1, 5)  # positions follow


def test_everything_learns_and_the_graph_has_a_free_batch() -> None:
    model, x = make(pool="mean").train(), torch.randn(2, 3, 24, 32)
    (model(x).square().sum() + model.forward_features(x).map().square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    program = torch.export.export(make(), (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=8)},)).module()
    x = torch.randn(3, 3, 24, 32)
    torch.testing.assert_close(program(x), make()(x), rtol=1e-5, atol=1e-6)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="rotary"):
        make(pos="rope")
    with pytest.raises(UsageError, match="axes"):
        LookupViT(LookupViTConfig(vit=TINY, lookup=(3, 3, 3)))
