"""Brightness of tissues: learned from the scan whatever its contrast, harmless where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.pipelines.medical.resample import upsample_matrix
from vitapps.pipelines.medical.tissues import fit_tissues, sample_points, tissue_numbers
from vitapps.pipelines.medical.upsample import Evidence, upsample_argmax

SIZE = (40, 36, 32)
BRIGHT = {"dark fluid": (0.05, 0.8, 0.2), "bright fluid": (0.05, 0.4, 0.9), "air as bright as white": (0.8, 0.8, 0.2)}


def blurred_truth() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Three nested boxes (background, white, fluid) X Y Z, and shares K X Y Z that are blurred by 2.5 voxels."""
    from scipy import ndimage

    truth = np.zeros(SIZE, np.int64)
    truth[6:34, 6:30, 6:26] = 1
    truth[14:26, 12:24, 12:20] = 2
    shares = np.stack([ndimage.gaussian_filter((truth == k).astype(np.float32), 2.5) for k in range(3)])
    return truth, shares


@pytest.mark.parametrize("contrast", BRIGHT)
def test_labels_become_sharper_in_any_contrast(contrast: str) -> None:
    truth, shares = blurred_truth()
    image = np.array(BRIGHT[contrast], np.float32)[truth]
    image = np.clip(image + np.random.default_rng(0).normal(0, 0.03, SIZE), 0, 1).astype(np.float32)
    tissue_of = tissue_numbers(["background", "white", "fluid"])
    tissues = fit_tissues(image.ravel(), shares.reshape(3, -1), tissue_of)
    assert tissues.means == pytest.approx(BRIGHT[contrast][1:], abs=0.03)
    identity = tuple(np.eye(size, dtype=np.float32) for size in SIZE)
    evidence = Evidence(lambda box: tissues.likelihoods(image[box]), tissue_of)
    plain = (upsample_argmax(shares, identity) != truth).mean()
    refined = (upsample_argmax(shares, identity, evidence) != truth).mean()
    assert refined < (0.2 if contrast != "air as bright as white" else 1.0) * plain


def test_without_contrast_the_shares_decide() -> None:
    _, shares = blurred_truth()
    image = np.random.default_rng(0).normal(0.5, 0.05, SIZE).astype(np.float32)
    tissue_of = tissue_numbers(["background", "white", "fluid"])
    tissues = fit_tissues(image.ravel(), shares.reshape(3, -1), tissue_of)
    identity = tuple(np.eye(size, dtype=np.float32) for size in SIZE)
    evidence = Evidence(lambda box: tissues.likelihoods(image[box]), tissue_of)
    assert (upsample_argmax(shares, identity, evidence) != upsample_argmax(shares, identity)).mean() < 0.02


def test_structures_of_one_tissue_share_its_brightness() -> None:
    assert tissue_numbers(["background", "grey", "white", "grey"]).tolist() == [0, 1, 2, 1]


def test_a_tissue_that_does_not_occur_does_no_harm() -> None:
    image = np.random.default_rng(0).uniform(0, 1, 500).astype(np.float32)
    prior = np.zeros((3, 500), np.float32)
    prior[0, :250], prior[1, 250:] = 1, 1
    found = fit_tissues(image, prior, tissue_numbers(["background", "white", "fluid"]))
    assert np.isfinite(found.likelihoods(image)).all()
    assert np.isfinite(fit_tissues(np.zeros(500, np.float32), prior, np.arange(3)).likelihoods(image)).all()


def test_points_lie_where_something_may_be() -> None:
    scores = np.zeros((2, 10, 12, 8), np.float32)
    scores[0] = 1
    assert sample_points(scores, [upsample_matrix(n * 2, 2.0) for n in (10, 12, 8)]) is None
    scores[0, 4:6, 5:7, 3:5], scores[1, 4:6, 5:7, 3:5] = 0.1, 0.9
    found = sample_points(scores, [upsample_matrix(n * 2, 2.0) for n in (10, 12, 8)])
    assert found is not None
    where, shares = found
    assert shares.shape == (2, len(where[0]))
    assert shares.sum(0) == pytest.approx(1, abs=1e-5)
    assert where[0].min() >= 7
    assert where[0].max() <= 12
    again = sample_points(scores, [upsample_matrix(n * 2, 2.0) for n in (10, 12, 8)])
    assert again is not None
    assert np.array_equal(again[0][0], where[0])
