import math

import numpy as np
import pytest

from vitapps.errors import UsageError
from vitapps.pipelines.face.verification import (
    balanced_accuracy,
    best_threshold,
    equal_error,
    error_rates,
    figures,
    folded_accuracy,
    roc,
    spread_folds,
)


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    same = rng.random(2000) < 0.4
    return np.round(rng.normal(same * 1.2, 1.0), 2), same  # rounded: ties


def test_the_roc_is_that_of_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    similarity, same = pairs
    false, true, _ = metrics.roc_curve(same, similarity, drop_intermediate=False)
    ours = roc(similarity, same)
    assert np.allclose(ours[0], false, atol=1e-9) and np.allclose(ours[1], true, atol=1e-9)
    assert figures(similarity, same).auc == pytest.approx(metrics.roc_auc_score(same, similarity), abs=1e-9)
    rate = equal_error(similarity, same)
    assert np.interp(rate, false, true) == pytest.approx(1 - rate, abs=1e-9)


def test_operating_points_by_hand():
    similarity = np.array([0.9, 0.8, 0.7, 0.4, 0.6, 0.5, 0.3, 0.2])
    same = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    (strict, missed), (loose, none), (nothing, _) = error_rates(similarity, same, (0.25, 0.5, 0.1))
    assert 0.5 < strict <= 0.6 and missed == 0.25  # one of four others passes
    assert 0.3 < loose <= 0.4 and none == 0
    assert math.isnan(nothing)  # four pairs say nothing about one in ten
    assert balanced_accuracy(similarity, same, best_threshold(similarity, same)) == pytest.approx(0.875)


def test_separated_pairs_are_perfect():
    similarity = np.concatenate([np.linspace(0.5, 1, 40), np.linspace(-1, 0.4, 60)])
    same = np.arange(100) < 40
    found = figures(similarity, same)
    assert (found.accuracy, found.auc, found.eer, found.tar_10) == (1, 1, 0, 1)
    assert math.isnan(found.tar_001)
    assert figures(-similarity, same).auc == 0


def test_a_threshold_never_sees_its_own_fold():
    """Random similarities: a threshold chosen on the same pairs would find more than one half on the average."""
    rng = np.random.default_rng(1)
    same = np.arange(60) % 2 == 0
    values = [folded_accuracy(rng.normal(size=60), same, spread_folds(same))[0] for _ in range(60)]
    assert abs(np.mean(values) - 0.5) < 0.03


def test_one_kind_of_pairs_is_refused():
    with pytest.raises(UsageError):
        figures(np.ones(4), np.ones(4, bool))
