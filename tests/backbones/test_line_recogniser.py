"""The line recogniser at random weights: any width, paper as padding, CTC loss, one graph for every width."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.engines.export import export_graph
from vitapps.shared_backbones.engines.openvino import compile_graph
from vitapps.shared_backbones.heads.sequence import ctc_loss
from vitapps.shared_backbones.models import build
from vitapps.shared_backbones.models.line_recogniser import LineRecogniser, LineRecogniserConfig, line_example

TINY = LineRecogniserConfig(num_chars=5, height=16, stem=(4, 8, 8), dim=16, depth=2, heads=2, reach=3)


@pytest.fixture(scope="module")
def model() -> LineRecogniser:
    torch.manual_seed(0)
    return LineRecogniser(TINY).eval()


@pytest.mark.parametrize("width", [4, 20, 132])
def test_every_width_gives_a_token_for_four_pixels(model: LineRecogniser, width: int) -> None:
    with torch.no_grad():
        out, tokens = model(torch.rand(2, 1, 16, width))
    assert out.shape == (2, width // 4, 6) and tokens.shape == (2, width // 4, 16)
    assert torch.allclose(out.exp().sum(-1), torch.ones(2, width // 4), atol=1e-5)


def test_a_height_that_does_not_fold_is_refused() -> None:
    with pytest.raises(UsageError, match="height 20"):
        build("line_recogniser", {"height": 20})


def test_every_parameter_learns(model: LineRecogniser) -> None:
    loss = ctc_loss(
        model.forward_logits(torch.rand(2, 1, 16, 64)), torch.tensor([[1, 2, 2], [3, 0, 0]]), torch.tensor([3, 1])
    )
    loss.backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in model.parameters())
    model.zero_grad()


def test_the_loss_is_the_sum_over_alignments() -> None:
    """Two tokens, the string `1`: paths 1-, -1, 11 (Graves et al. 2006, eq. 3); too long a string counts nothing."""
    logits = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(1))
    p = logits[0].double().exp() / logits[0].double().exp().sum(-1, keepdim=True)
    wanted = -torch.log(p[0, 1] * p[1, 0] + p[0, 0] * p[1, 1] + p[0, 1] * p[1, 1])
    found = ctc_loss(logits, torch.tensor([[1]]), torch.tensor([1]))
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    assert float(ctc_loss(logits, torch.tensor([[1, 1, 2]]), torch.tensor([3]))) == 0.0


def test_one_graph_serves_every_width(model: LineRecogniser, tmp_path: Path) -> None:
    example = line_example(TINY)
    export_graph(model, example, tmp_path / "line.onnx", ["log_probs", "tokens"], free_axes=(3,))
    compiled = compile_graph(tmp_path / "line.onnx", card_name="line", precision="exact", threads=1, keep=False)
    for batch, width in ((1, 36), (3, 400)):
        lines = np.random.default_rng(0).random((batch, 1, 16, width), np.float32)
        with torch.no_grad():
            wanted = model(torch.from_numpy(lines))
        for ours, theirs in zip(compiled(lines), wanted, strict=True):
            assert np.abs(ours - theirs.numpy()).max() < 5e-3
