"""The reconstruction engine and APHQ-ViT on it: the importance is a Hessian's diagonal, ReLU takes GELU's place, and
weighing by importance serves the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.quantization import _recon, aphq
from vitapps.shared_backbones.quantization._protocol import QuantConfig, quantize
from vitapps.shared_backbones.quantization._recon import Call, importance, perturbation_hessian
from vitapps.shared_backbones.quantization.aphq import fit_relu_mlp, relu_mlp


def hadamard(size: int) -> Tensor:
    rows = torch.ones(1, 1)
    while len(rows) < size:
        rows = torch.cat((torch.cat((rows, rows), 1), torch.cat((rows, -rows), 1)))
    return rows


def autograd_diagonal(loss: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    return torch.autograd.functional.hessian(loss, z).diagonal()


def test_the_perturbation_hessian_of_a_quadratic_loss_is_its_diagonal() -> None:
    torch.manual_seed(0)
    mix = torch.randn(8, 8, dtype=torch.float64)
    hessian = mix @ mix.T
    z = torch.randn(8, dtype=torch.float64)
    found = perturbation_hessian(lambda x: x @ hessian @ x / 2, z, hadamard(8), 1e-2)
    torch.testing.assert_close(found, hessian.diagonal(), rtol=1e-3, atol=1e-6)


def test_the_perturbation_hessian_ranks_as_the_exact_one_does() -> None:
    torch.manual_seed(1)
    scales = torch.linspace(-2, 1.5, 24).exp()[torch.randperm(24)]
    network = nn.Sequential(nn.Linear(24, 16), nn.GELU(), nn.Linear(16, 5)).double()
    z = torch.randn(24, dtype=torch.float64)
    wanted = network(z * scales).detach()

    def loss(x: Tensor) -> Tensor:
        return (network(x * scales) - wanted).square().sum()

    signs = torch.randint(0, 2, (256, 24)).double() * 2 - 1
    found, exact = perturbation_hessian(loss, z, signs, 1e-3), autograd_diagonal(loss, z)
    ranks = torch.stack([values.argsort().argsort().double() for values in (found, exact)])
    assert torch.corrcoef(ranks)[0, 1] >= 0.9


def test_tokens_that_the_answer_does_not_read_matter_least() -> None:
    """The head reads the class token, so in the last block the patches count for nothing."""
    torch.manual_seed(0)
    model = ViT(ViTConfig(image_size=(8, 8), patch=(4, 4), dim=16, depth=2, heads=2, num_classes=4)).eval()
    weight = importance(model, "blocks.1", [torch.randn(3, 3, 8, 8)])
    assert weight.shape == (5, 16) and float(weight.mean()) == pytest.approx(1.0)
    assert weight[0].mean() > 10 * weight[1:].mean()


def test_a_fitted_relu_mlp_gives_what_the_gelu_mlp_gave() -> None:
    torch.manual_seed(0)
    mlp = Mlp(16, 48, nn.GELU())
    with torch.no_grad():
        mlp.fc1.weight.mul_(2)
        calls = [Call(x=x, args=(), kwargs={}, out=mlp(x)) for x in torch.randn(16, 1, 40, 16)]
        unseen = torch.randn(400, 16)
        start = (mlp.fc1.weight, mlp.fc1.bias, mlp.fc2.weight, mlp.fc2.bias)
        naive = (relu_mlp(unseen, start)[0] - mlp(unseen)).square().mean()
    fitted = fit_relu_mlp(start, calls, torch.ones(16))
    with torch.no_grad():
        assert (relu_mlp(unseen, fitted)[0] - mlp(unseen)).square().mean() < naive / 5


def test_weighing_by_importance_serves_the_answer_at_three_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recon, "STEPS", 80)
    monkeypatch.setattr(aphq, "RELU_BITS", 0)  # blocks alone
    torch.manual_seed(0)
    model = ViT(ViTConfig(image_size=(16, 16), patch=(4, 4), dim=32, depth=2, heads=2, num_classes=5)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
    unseen = torch.randn(256, 3, 16, 16)

    def error(seed: int) -> float:
        images = torch.randn(6, 16, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        rounded = quantize(model, QuantConfig(method="aphq", weight_bits=3, act_bits=3), list(images))
        with torch.no_grad():
            return float((rounded(unseen) - model(unseen)).square().mean())

    weighed = [error(seed) for seed in range(3)]
    monkeypatch.setattr(aphq, "importance", lambda model, name, batches: torch.ones(32))
    plain = [error(seed) for seed in range(3)]
    assert sum(weighed) < sum(plain), (weighed, plain)
