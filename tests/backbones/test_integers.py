"""I-ViT's integer arithmetic against floating point, and a whole ViT in it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.quantization import _integers as integers
from vitapps.shared_backbones.quantization._integer_vit import IntegerViT
from vitapps.shared_backbones.quantization._protocol import QuantConfig, quantize


def test_the_square_root_is_isqrt() -> None:
    n = torch.arange(1 << 20)
    exact = n.double().sqrt().floor().long()  # exact below 2^52
    assert torch.equal(integers.square_root(n), exact)
    generator = random.Random(0)
    some = [0, 1, 2**31 - 1, 2**31, 2**52, *(generator.randrange(2**31) for _ in range(1000))]
    assert integers.square_root(torch.tensor(some)).tolist() == [math.isqrt(value) for value in some]


def test_dyadic_factors_are_near_and_rescaling_rounds() -> None:
    ratio = torch.tensor([1.0, 0.3, -0.007, 5e-7, 300.0])
    multiplier, shift = integers.dyadic(ratio)
    torch.testing.assert_close(multiplier.double() / 2.0**shift, ratio.double(), rtol=2**-22, atol=0)
    x = torch.tensor([[7, -9, 10001, -123456789, 3]])
    exact = (x.double() * ratio).round().long()
    assert (integers.rescale(x, (multiplier, shift)) - exact).abs().max() <= 1 + 1e-6 * exact.abs().max()


@pytest.mark.parametrize("count", [5, 197])
def test_shiftmax_is_near_softmax(count: int) -> None:
    scores = 3 * torch.randn(300, count, generator=torch.Generator().manual_seed(0))
    codes = (scores * integers.ONE).round().long()
    exact = scores.softmax(-1)
    assert float((integers.shiftmax(codes, 8) / 128 - exact).abs().max()) < 0.03
    fine = integers.shiftmax(codes, 16) / 32768
    torch.testing.assert_close(fine.sum(-1), torch.ones(300), rtol=0.02, atol=0)
    assert float((fine - exact).abs().max()) < 0.03


def test_shift_gelu_is_near_gelu() -> None:
    x = torch.linspace(-8, 8, 4001)
    found = integers.shift_gelu((x * integers.ONE).round().long()) / (128 * integers.ONE)
    assert float((found - functional.gelu(x)).abs().max()) < 0.03 * 8


def test_the_integer_layer_norm_is_a_layer_norm() -> None:
    x = torch.randint(-30000, 30000, (50, 48), generator=torch.Generator().manual_seed(0))
    found = integers.layer_norm(x, 0) * math.sqrt(48) / 2**integers.NORM_BITS
    torch.testing.assert_close(found.double(), functional.layer_norm(x.double(), (48,)), rtol=1e-3, atol=1e-3)
    assert torch.equal(integers.layer_norm(torch.full((1, 8), 5), 0), torch.zeros(1, 8, dtype=torch.long))


def test_products_are_exact() -> None:
    def codes(*shape: int) -> Tensor:
        return torch.randint(-127, 128, shape, generator=torch.Generator().manual_seed(len(shape)))

    one, many = codes(2, 9, 16), codes(2, 3, 9, 16)
    assert torch.equal(integers.product(one, codes(16, 7)), one @ codes(16, 7))
    assert torch.equal(integers.product(many, many.transpose(-1, -2)), many @ many.transpose(-1, -2))


def small_vit(**changes: Any) -> ViT:
    torch.manual_seed(0)
    sizes = {"image_size": (16, 12), "patch": (4, 4), "dim": 32, "depth": 2, "heads": 2, "num_classes": 5}
    model = ViT(ViTConfig(**(sizes | changes))).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(4 if parameter.ndim == 2 and "head" not in name else 1)
    return model


def integer_form(model: ViT) -> IntegerViT:
    x = torch.randn(24, 3, 16, 12, generator=torch.Generator().manual_seed(1))
    found = quantize(model, QuantConfig(method="ivit"), [x])
    assert isinstance(found, IntegerViT)
    return found


class NoFloats(TorchDispatchMode):
    """Fails at the first operation that reads or gives a floating number."""

    def __torch_dispatch__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for part in tree_leaves((args, kwargs, out)):
            assert not (isinstance(part, Tensor) and part.is_floating_point()), func
        return out


def test_no_floating_number_stands_between_the_input_and_the_logits() -> None:
    model = small_vit(registers=2)
    whole = integer_form(model)
    x = torch.randn(8, 3, 16, 12)
    codes = whole.codes(x)
    with torch.no_grad(), NoFloats():
        found = whole.run_logits(codes)
    exact = model(x).detach()
    assert torch.equal((found * whole.logit_scale).float(), whole(x))
    assert float((whole(x) - exact).square().sum() / exact.square().sum()) < 2e-2


@pytest.mark.parametrize("changes", [
    {"layer_scale": 0.3}, {"class_token": False, "pool": "mean"}, {"qkv_bias": False},
    {"pool": "none", "num_classes": 0},
])  # fmt: skip
def test_the_variants_of_a_vit_stay_near_it(changes: dict[str, Any]) -> None:
    model = small_vit(**changes)
    whole = integer_form(model)
    x = torch.randn(8, 3, 16, 12)
    with torch.no_grad():
        exact, found = model.forward_features(x), whole.forward_features(x)
        assert found.map().shape == exact.map().shape
        for one, other in ((found.tokens, exact.tokens), (whole(x), model(x))):
            assert float((one - other).square().sum() / other.square().sum()) < 2e-2


def test_what_has_no_integer_form_is_refused() -> None:
    for changes, what in (({"pos": "rope"}, "rotary"), ({"qk_norm": True}, "qk_norm"), ({"act": "relu"}, "GELU")):
        with pytest.raises(UsageError, match=what):
            integer_form(small_vit(**changes))
    with pytest.raises(UsageError, match="got"):
        integer_form(small_vit())(torch.zeros(1, 3, 8, 8))
