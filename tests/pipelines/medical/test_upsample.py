"""Interpolated scores -> labels: the same as the naive way, at a fraction of its memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from vitapps.pipelines.medical import upsample
from vitapps.pipelines.medical.resample import Matrix, upsample_matrix
from vitapps.pipelines.medical.upsample import upsample_argmax
from vitapps.shared_backbones.heads.voxel import softmax


def smooth_scores(classes: int, shape: tuple[int, int, int], seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(classes, *shape))
    logits = 40 * ndimage.gaussian_filter(noise, (0, 2, 2, 2))
    edge = np.ones(shape)
    edge[3:-3, 3:-3, 3:-3] = 0
    logits[0] += 40 * edge
    return softmax(logits[None].astype(np.float32))[0]


def matrices(shape: tuple[int, int, int], steps: tuple[float, float, float]) -> list[Matrix]:
    """To a scan with voxels of 1 / step of the network's."""
    found = []
    for n, step in zip(shape, steps, strict=True):
        size = int(np.floor(n * step))
        found.append(upsample_matrix(size, step)[:, :n])
        assert found[-1].shape == (size, n)
    return found


@pytest.mark.parametrize("steps", [(2.0, 2.0, 2.0), (1.0, 1.0, 1.0), (2.8, 2.8, 0.7), (0.5, 1.0, 3.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_like_the_naive_way(steps: tuple[float, float, float], seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upsample, "SLAB_BYTES", 20_000)
    scores = smooth_scores(6, (14, 16, 12), seed)
    m = matrices((14, 16, 12), steps)
    full = np.einsum("ai,bj,ck,nijk->nabc", *m, scores, optimize=True)
    found = upsample_argmax(scores, m)
    clear = np.sort(full, 0)[-1] - np.sort(full, 0)[-2] > 1e-5
    assert clear.mean() > 0.99
    assert len(np.unique(found)) >= 5
    np.testing.assert_array_equal(found[clear], full.argmax(0)[clear])


def test_nothing_found() -> None:
    scores = np.zeros((3, 5, 5, 5), np.float32)
    scores[0] = 1
    assert not upsample_argmax(scores, matrices((5, 5, 5), (2, 2, 2))).any()


def test_memory_is_that_of_labels_not_of_classes() -> None:
    scores = smooth_scores(24, (20, 20, 20), 0)
    m = matrices((20, 20, 20), (6, 6, 6))  # 120^3: 166 MB for all classes, 3.5 MB of labels
    tracemalloc.start()
    upsample_argmax(scores, m)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
