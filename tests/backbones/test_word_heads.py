"""A3 over words that share a call, and the word heads at random weights: a word alone as among others."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitapps.shared_backbones.heads import a3
from vitapps.shared_backbones.heads.a3 import A3, reading_confidence
from vitapps.shared_backbones.models import word_heads
from vitapps.shared_backbones.models.word_heads import END, WordHeads, WordHeadsConfig, waves

TINY = WordHeadsConfig(source=6, dim=16, depth=2, heads=2, reach=3, chars=7, bpe=9, wordpiece=8, places=(5, 3, 4))
LENGTHS = (3, 8, 1)


@pytest.fixture(scope="module")
def model() -> WordHeads:
    torch.manual_seed(0)
    return WordHeads(TINY).eval()


def rows(length: int, padding: int = 0) -> torch.Tensor:
    """Rows of a word, 1 length+padding source+2, the padding not zero but marked."""
    drawn = np.random.default_rng(length).standard_normal((1, length + padding, TINY.source + 2), np.float32)
    out = torch.from_numpy(drawn)
    out[..., -2] = torch.arange(length + padding) / 2
    out[..., -1] = (torch.arange(length + padding) < length).float()
    return out


def test_pooling_inside_padded_words_is_plain_a3_of_each_alone() -> None:
    torch.manual_seed(0)
    pool = A3(16, 5)
    words = [torch.randn(1, length, 16) for length in LENGTHS]
    together = torch.randn(len(words), max(LENGTHS), 16)  # what stands behind a word is anything
    bias = torch.zeros(len(words), 1, 1, max(LENGTHS))
    for place, word in enumerate(words):
        together[place, : word.shape[1]] = word[0]
        bias[place, ..., word.shape[1] :] = -1e9
    found, alone = pool(together, bias), torch.cat([pool(word) for word in words])
    assert found.shape == (3, 5, 16)
    assert float((found - alone).abs().max().detach()) < 1e-5
    assert float((pool(together) - alone).abs().max().detach()) > 1e-2


def test_a_word_reads_the_same_alone_and_beside_longer_ones(model: WordHeads) -> None:
    with torch.no_grad():
        together = model(torch.cat([rows(length, 9 - length) for length in LENGTHS]))
        for place, length in enumerate(LENGTHS):
            for one, other in zip(model(rows(length)), together, strict=True):
                assert torch.allclose(one[0], other[place], atol=1e-4)


def test_each_place_has_chances_and_each_reading_a_confidence(model: WordHeads) -> None:
    with torch.no_grad():
        *log_probs, confidence = model(torch.cat([rows(4), rows(4) + 0.1]))
    assert [part.shape for part in log_probs] == [(2, 5, 7), (2, 3, 9), (2, 4, 8)] and confidence.shape == (2, 3)
    for number, part in enumerate(log_probs):
        assert torch.allclose(part.exp().sum(-1), torch.ones(part.shape[:2]), atol=1e-5)
        assert torch.allclose(confidence[:, number], reading_confidence(part, END), atol=1e-6)


def test_ordinals_tell_places_apart(model: WordHeads) -> None:
    assert waves(torch.tensor([[0.0, 1.0, 24.0]])).shape == (1, 3, 64)
    moved = rows(6)
    moved[..., -2] += 1
    with torch.no_grad():
        assert float((model(rows(6))[0] - model(moved)[0]).abs().max()) > 1e-3


def test_every_parameter_learns(model: WordHeads) -> None:
    sum((part * torch.linspace(-1, 1, part.shape[-1])).sum() for part in model.forward_logits(rows(7))).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in model.parameters())
    model.zero_grad()


def test_the_catalogue_names_the_paper() -> None:
    for card in (a3.CARD, word_heads.CARD):
        assert card["id"] == "S072" and "2209.03592" in str(card["paper"])
