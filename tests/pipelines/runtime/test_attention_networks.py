"""Whole networks of `bench attention`: ours and what it stands beside give the same answer."""

from __future__ import annotations

import pytest
import torch

from vitapps.pipelines.runtime import attention_networks
from vitapps.pipelines.runtime.attention_networks import OURS, merging, swin_unetr
from vitapps.shared_backbones.convert.monai_swin import attend_in_swin


def test_merging_is_the_same_with_the_softmax_written_out() -> None:
    torch.manual_seed(0)
    network = merging(quick=True, device=torch.device("cpu"), dtype=torch.float32)
    with torch.inference_mode():
        ours, other = (network.ways[way]() for way in (OURS, "explicit softmax"))
    assert float((ours - other).abs().max() / other.abs().max()) < 1e-4


@pytest.mark.parametrize("absent", ["monai", "einops"])
def test_without_a_peer_its_row_is_left_out(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = attention_networks.importlib.util.find_spec
    monkeypatch.setattr(
        attention_networks.importlib.util, "find_spec", lambda name: None if name == absent else there(name)
    )
    (found,) = attention_networks.networks(quick=True, device=torch.device("cpu"), dtype=torch.float32)
    assert "ToMe" in found.name


def test_the_encoder_of_swin_unetr_is_monai_s() -> None:
    pytest.importorskip("monai")
    torch.manual_seed(0)
    network = swin_unetr(quick=True, device=torch.device("cpu"), dtype=torch.float32)
    with torch.inference_mode():
        ours, default, fused = (way() for way in network.ways.values())
    for found in (ours, fused):
        assert float((found - default).abs().max() / default.abs().max()) < 1e-5


def test_biases_of_the_windows_count() -> None:
    swin = pytest.importorskip("monai.networks.nets.swin_unetr")
    torch.manual_seed(0)
    plain = swin.SwinTransformer(1, 12, (4, 4), (2, 2), (2, 1, 1, 1), (3, 6, 12, 24), spatial_dims=2).eval()  # 9 x 7
    for block in plain.modules():
        if hasattr(block, "relative_position_bias_table"):
            torch.nn.init.normal_(block.relative_position_bias_table)
    x = torch.randn(2, 1, 18, 14)
    with torch.inference_mode():
        expected = plain(x)
        assert attend_in_swin(plain) == 5
        for ours, theirs in zip(plain(x), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
