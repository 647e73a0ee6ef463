"""MGP-STR beside transformers' at random weights: every logit, every gradient; its fusion by hand."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.mgp_str import config_from_mgp_str, convert_mgp_str
from vitapps.shared_backbones.heads.a3 import fuse, reading_confidence
from vitapps.shared_backbones.models.mgp_str import MgpStr, MgpStrConfig
from vitapps.shared_backbones.weights.load import load_state


def test_logits_and_gradients_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    settings = transformers.MgpstrConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_bpe_labels=50, num_wordpiece_labels=41
    )
    peer = transformers.MgpstrForSceneTextRecognition(settings).eval()
    for parameter in peer.parameters():  # norms and positions start where they do nothing
        parameter.data = torch.randn_like(parameter) * (parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    ours = MgpStr(config_from_mgp_str(settings)).eval()
    load_state(ours, convert_mgp_str(peer.state_dict()), "test")
    x = torch.rand(2, 3, 32, 128)
    found, wanted = ours(x), peer(x).logits
    assert [part.shape[1:] for part in found] == [(27, 38), (27, 50), (27, 41)]
    for one, other in zip(found, wanted, strict=True):
        assert float(((one - other).abs().max() / other.abs().max()).detach()) < 1e-5
    sum((part * torch.linspace(-1, 1, part.shape[-1])).sum() for part in found).backward()  # type: ignore[union-attr]
    sum((part * torch.linspace(-1, 1, part.shape[-1])).sum() for part in wanted).backward()  # type: ignore[union-attr]
    gradients = convert_mgp_str({key: value.grad for key, value in peer.named_parameters() if value.grad is not None})
    largest = max(float(value.abs().max()) for value in gradients.values())
    for key, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert float((parameter.grad - gradients[key]).abs().max()) < 2e-5 * largest, key


def test_confidence_is_the_product_up_to_the_end() -> None:
    chances = torch.tensor([[[0.2, 0.8, 0], [0.1, 0.3, 0.6], [0.9, 0.1, 0]]])  # a, b, end, ignored
    assert reading_confidence(chances.clamp_min(1e-9).log(), end=2).tolist() == pytest.approx([0.48])
    never = torch.tensor([[[0.2, 0.8, 0]]]).clamp_min(1e-9).log()
    assert reading_confidence(never, end=2).tolist() == [0.0]
    surer = torch.tensor([[[0.0, 0.0, 1.0], [1, 0, 0], [1, 0, 0]]]).clamp_min(1e-9).log()
    assert fuse((chances.clamp_min(1e-9).log(), surer), (2, 2)).tolist() == [1]


def test_granularities_can_be_left_out() -> None:
    small = {"dim": 16, "depth": 1, "heads": 2, "chars": 5}
    assert len(MgpStr(MgpStrConfig(**small, bpe=7, wordpiece=0))(torch.rand(1, 3, 32, 128))) == 2  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no granularity"):
        MgpStr(MgpStrConfig(dim=16, depth=1, heads=2, chars=0, bpe=0, wordpiece=0))
    with pytest.raises(UsageError, match="unknown key"):
        convert_mgp_str({"other.weight": torch.zeros(1)})
