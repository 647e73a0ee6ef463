"""Probes on features that are known: what is in the mean, what only a token holds, and which way time runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegressionCV

from vitapps.pipelines.video.attentive_probe import AttentiveProbe, ProbeFit, fit_probe, tell
from vitapps.pipelines.video.probe import _PROTOCOLS

Floats = NDArray[np.float32]


def clips(seed: int, number: int = 40, tokens: int = 12) -> tuple[list[Floats], NDArray[np.int64]]:
    """Windows W N C whose class is the sign of channel 0 of the one token that channel 1 marks; others deceive."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, number)
    found = []
    for label in labels:
        windows = rng.normal(0, 1, (2, tokens, 8)).astype(np.float32)
        windows[:, :, 1] = 0
        place = rng.integers(tokens)
        windows[:, place, 1] = 6
        windows[:, place, 0] = 1.5 if label else -1.5
        found.append(windows)
    return found, labels


def test_a_query_finds_the_token_that_tells() -> None:
    known, labels = clips(0, number=240)
    asked, truth = clips(1)
    accuracies = {
        name: float((run(known, labels, asked, 2, 0).argmax(axis=1) == truth).mean())
        for name, run in _PROTOCOLS.items()
    }
    assert accuracies["attentive"] >= 0.9
    assert accuracies["linear"] <= accuracies["attentive"] - 0.1  # eleven of twelve tokens are noise in the mean


def test_linear_and_nearest_agree_with_what_they_say_they_are() -> None:
    known, labels = clips(0)
    asked, _ = clips(1)
    features, unseen = (np.stack([item.mean(axis=(0, 1)) for item in part]) for part in (known, asked))
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    peer = LogisticRegressionCV(Cs=np.geomspace(1e-3, 10, 5), cv=5, max_iter=500).fit(scaled, labels)
    wanted = peer.predict_proba((unseen - features.mean(axis=0)) / (features.std(axis=0) + 1e-6))
    assert np.allclose(np.exp(_PROTOCOLS["linear"](known, labels, asked, 2, 0)), wanted, atol=1e-5)
    itself = _PROTOCOLS["knn"](known, labels, known, 2, 0)
    assert (itself.argmax(axis=1) == labels).mean() > 0.9  # every clip is its own nearest neighbour
    assert np.allclose(np.exp(itself).sum(axis=1), 1, atol=1e-4)


def test_a_clip_is_told_from_the_mean_over_its_windows() -> None:
    torch.manual_seed(0)
    probe = AttentiveProbe(8, 3).eval()
    known, _ = clips(0, number=2)
    shares = np.exp(tell(probe, known))
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    with torch.no_grad():
        wanted = probe(torch.from_numpy(known[0])).double().softmax(1).mean(0).numpy()
    assert np.allclose(shares[0], wanted, atol=1e-5)


def test_a_probe_comes_from_its_seed() -> None:
    known, labels = clips(0, number=8)
    one, same, other = (
        tell(fit_probe(known, labels, 2, ProbeFit(steps=3, seed=seed)), known) for seed in (0, 0, 1)
    )  # fmt: skip
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    assert one.shape == pytest.approx((8, 2))
