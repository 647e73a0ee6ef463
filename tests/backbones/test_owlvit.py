"""OWL-ViT and OWLv2 beside transformers' at random weights: logits and boxes, at the native and at another size."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fakes.owl import random_owl
from vitapps.errors import UsageError
from vitapps.shared_backbones.convert.owlvit import config_from_owlvit, convert_owlvit
from vitapps.shared_backbones.models.owlvit import OwlViT
from vitapps.shared_backbones.weights.load import load_state

WORDS = torch.tensor([[38, 5, 6, 39, 0, 0, 0], [38, 9, 39, 0, 0, 0, 0], [38, 3, 3, 3, 3, 3, 39]])


def pair(kind: str) -> tuple[Any, OwlViT]:
    """transformers' network and ours with the same random weights."""
    pytest.importorskip("transformers")
    peer = random_owl(kind, 40)
    ours = OwlViT(config_from_owlvit(peer.config.to_dict())).eval()
    load_state(ours, convert_owlvit(peer.state_dict()), "test")
    return peer, ours


@pytest.mark.parametrize("kind", ["owlvit", "owlv2"])
@pytest.mark.parametrize("size", [(64, 64), (96, 48)])
def test_answers_are_those_of_transformers(kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    peer, ours = pair(kind)
    pixels = torch.randn(2, 3, *size)
    table = ours.image.pos["learned"].table((size[0] // 16, size[1] // 16))  # theirs is resampled without antialiasing
    embeddings = getattr(peer, kind).vision_model.embeddings
    monkeypatch.setattr(embeddings, "interpolate_pos_encoding", lambda *_: table)
    with torch.inference_mode():
        wanted = peer(
            input_ids=WORDS.repeat(2, 1), pixel_values=pixels, attention_mask=(WORDS > 0).long().repeat(2, 1),
            interpolate_pos_encoding=size != (64, 64),
        )  # fmt: skip
        queries = ours.text(WORDS)
        logits, boxes, found = ours(pixels, queries)
    assert torch.allclose(queries, wanted.text_embeds[0], atol=1e-5)
    assert logits.shape == (2, size[0] * size[1] // 256, 3) and wanted.logits.std() > 0.05
    assert torch.allclose(logits, wanted.logits, atol=2e-5) and torch.allclose(boxes, wanted.pred_boxes, atol=1e-5)
    own = wanted.class_embeds
    assert torch.allclose(found, own / own.norm(dim=-1, keepdim=True), atol=1e-5)


def test_padding_of_the_words_changes_nothing() -> None:
    _, ours = pair("owlvit")
    with torch.inference_mode():
        assert torch.allclose(ours.text(WORDS[1:2, :3]), ours.text(WORDS[1:2]), atol=1e-6)
        other = WORDS[:1].clone()
        other[0, 4] = 7  # behind the end: not seen
        assert torch.allclose(ours.text(other), ours.text(WORDS[:1]), atol=1e-6)


def test_other_models_are_refused() -> None:
    with pytest.raises(UsageError, match="no OWL-ViT"):
        config_from_owlvit({"model_type": "clip"})
    with pytest.raises(UsageError, match="no OWL-ViT"):
        convert_owlvit({"vision_model.x": torch.zeros(1)})
    with pytest.raises(UsageError, match="'swish'"):
        config_from_owlvit({"model_type": "owlvit", "text_config": {"hidden_act": "swish"}})
