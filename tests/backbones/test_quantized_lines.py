"""Quantization of a reader whose inputs have any width and whose attention has a bias."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones import slots
from vitapps.shared_backbones.models.line_recogniser import LineRecogniser, LineRecogniserConfig
from vitapps.shared_backbones.quantization._modules import QuantLinear
from vitapps.shared_backbones.quantization._protocol import QuantConfig, quantize


@pytest.mark.parametrize("method", ["minmax", "repq"])
def test_lines_of_several_widths_calibrate_and_their_gaps_still_part_them(method: str) -> None:
    torch.manual_seed(0)
    config = LineRecogniserConfig(num_chars=9, stem=(8, 8, 16), dim=24, depth=2, heads=2)
    model = LineRecogniser(config).eval()
    rounded = quantize(model, QuantConfig(method=method), [torch.rand(1, 1, 40, width) for width in (64, 128)])
    x = torch.rand(1, 1, 40, 96)
    with torch.no_grad():
        exact, found = model(x)[0], rounded(x)[0]
        assert float((found - exact).square().mean() / exact.square().mean()) < 1e-2
        row = torch.cat((x, torch.full((1, 1, 40, 12), -1.0), torch.rand(1, 1, 40, 36)), dim=3)
        torch.testing.assert_close(rounded(row)[0][:, :24], found, rtol=1e-3, atol=1e-3)  # as if it were alone
    folded = rounded.get_submodule("blocks.0.attn.qkv")
    assert isinstance(folded, QuantLinear) and folded.tap.quantizer.scale.ndim == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("method", slots.members("quantization"))
def test_every_method_takes_lines_of_several_widths_or_says_why_not(method: str) -> None:
    torch.manual_seed(0)
    model = LineRecogniser(LineRecogniserConfig(num_chars=9, stem=(8, 8, 16), dim=24, depth=1, heads=2)).eval()
    config = QuantConfig(method=method, weight_bits=4, act_bits=4)
    lines = [torch.rand(1, 1, 40, width) for width in (64, 96, 64)]
    if method == "ivit":
        with pytest.raises(UsageError, match="no ViT in LineRecogniser"):
            quantize(model, config, lines)
        return
    rounded = quantize(model, config, lines)
    with torch.no_grad():
        assert rounded(torch.rand(1, 1, 40, 128))[0].isfinite().all()
