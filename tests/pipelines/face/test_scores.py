"""Error rates beside values worked out by hand, and the AUC beside scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.face.scores import (
    attack_rates,
    auc,
    auc_interval,
    best_f1,
    det_points,
    f1_of,
)


def test_auc_is_sklearns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, 200).astype(float)  # with ties
    positive = rng.random(200) < 0.3
    assert auc(scores, positive) == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert np.isnan(auc(scores, np.zeros(200, bool)))


def test_bootstrap_draws_groups_not_rows() -> None:
    """Ten copies of a row are one witness: the interval must not shrink by repeating."""
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.normal(1, 1, 12), rng.normal(0, 1, 12)])
    positive = np.arange(24) < 12
    names = [f"v{number}" for number in range(24)]
    single = auc_interval(scores, positive, names, draws=300)
    repeated = auc_interval(np.repeat(scores, 10), np.repeat(positive, 10), np.repeat(names, 10).tolist(), draws=300)
    assert single == pytest.approx(repeated, abs=1e-9)
    assert np.isnan(auc_interval(scores, positive, ["one"] * 24)[0])


def test_attack_rates_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.1, 0.6])
    live = np.array([True, True, True, False, False, False, False])
    rates = attack_rates(scores, live, ["", "", "", "print", "print", "replay", "replay"], 0.65)
    assert rates.apcer == {"print": 0.5, "replay": 0.0}
    assert rates.worst_apcer == 0.5
    assert rates.bpcer == pytest.approx(1 / 3)
    assert rates.acer == pytest.approx((0.5 + 1 / 3) / 2)
    assert rates.hter == pytest.approx((0.25 + 1 / 3) / 2)


def test_det_points() -> None:
    scores, positive = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), np.array([False, False, True, False, True, True])
    accepts, rejects = det_points(scores, positive)
    assert accepts[2] == rejects[3] == pytest.approx(1 / 3)
    assert accepts[0] == 1 and accepts[-1] == 0 and rejects[0] == 0 and rejects[-1] == 1


def test_pixel_f1() -> None:
    truth = np.zeros((20, 20), bool)
    truth[5:10, 5:15] = True
    values = truth.astype(np.float32)
    assert best_f1(values, truth) == 1.0
    assert best_f1(np.zeros((20, 20), np.float32), truth) == pytest.approx(2 * 50 / 450)
    assert f1_of(truth, np.roll(truth, 5, axis=1)) == 0.5
