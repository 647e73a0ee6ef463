"""Synthetic heads of clinics' resolution."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.datasets.synth import clinical_head as module
from vitapps.datasets.synth.clinical_head import CONTRASTS, TISSUES, clinical_head


def ball_head() -> np.ndarray:
    """A grey brain in fluid, bone and skin."""
    away = np.linalg.norm(np.indices((64, 64, 64)) - 32.0, axis=0)
    labels = np.zeros((64, 64, 64), np.int16)
    for radius, label in ((30, 511), (27, 515), (24, 24), (21, 3)):
        labels[away < radius] = label
    return labels


def test_contrast_mask_and_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIELD", (72.0, 72.0, 72.0))
    monkeypatch.setattr(module, "LOW", 0.0)
    labels, spacing = ball_head(), (1.5, 1.5, 3.0)
    scan, mask, affine = clinical_head(labels, "t1", spacing, seed=1)
    assert scan.shape == mask.shape == (48, 48, 24)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), spacing)
    ml = mask.sum() * np.prod(spacing) / 1000
    assert 0.6 < ml / (4 / 3 * np.pi * 2.1**3) < 1.6  # scaled by up to 7 % along each axis, and deformed
    flair, same, _ = clinical_head(labels, "flair", spacing, seed=1)
    assert np.array_equal(same, mask)
    assert flair[mask].mean() > 1.4 * scan[mask].mean()  # grey matter is bright on FLAIR
    again = clinical_head(labels, "t1", spacing, seed=1)[0]
    assert np.array_equal(again, scan)


def test_every_tissue_has_a_brightness() -> None:
    assert all(len(values) == len(TISSUES) for values in CONTRASTS.values())
    numbers = [number for tissue in TISSUES.values() for number in tissue]
    assert len(numbers) == len(set(numbers))
