"""The mask of the whole brain from what was labelled."""

from __future__ import annotations

import numpy as np
import pytest

from vitapps.pipelines.medical.postprocess import main_component, rounded_mask


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0)])
def test_masks(spacing: tuple[float, float, float]) -> None:
    mask = np.zeros((44, 30, 30), bool)
    mask[4:24, 4:24, 4:24] = True
    mask[12:16, 12:16, :] = False  # a sulcus of 4 mm closes
    mask[24:40, 8, 8] = True  # a bridge of one voxel and what hangs on it
    mask[40:43, 7:10, 7:10] = True
    mask[0, 0, 0] = True
    main = main_component(mask)
    assert main.sum() == mask.sum() - 1
    rounded = rounded_mask(main, spacing)
    assert rounded[6:22, 6:22, 7:21].all()  # corners are rounded
    assert not rounded[28:].any()
    assert rounded[:24].sum() <= 20**3
    assert not rounded_mask(np.zeros((5, 5, 5), bool), spacing).any()
    dot = np.zeros((5, 5, 5), bool)
    dot[2, 2, 2] = True  # too small to have a core
    assert np.array_equal(rounded_mask(dot, spacing), dot)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0)])
def test_muscle_beyond_a_dark_gap_is_cut_before_the_gap_is_closed(spacing: tuple[float, float, float]) -> None:
    mask = np.zeros((60, 60, 24), bool)
    mask[6:36, 6:54, 4:20] = True
    brain = mask.copy()
    mask[39:43, 10:50, 6:18] = True  # a sheet of muscle, 3 voxels of bone between
    mask[36:39, 20, 10] = True  # one voxel touches both
    rounded = rounded_mask(mask, spacing)
    assert not rounded[38:].any()
    assert rounded[brain].mean() > 0.95


def test_halves_that_are_apart_are_joined_not_lost() -> None:
    mask = np.zeros((50, 40, 16), bool)
    mask[5:23, 5:35, 3:13] = mask[26:44, 5:35, 3:13] = True  # hemispheres of a scan that ends above their commissure
    rounded = rounded_mask(mask, (1.0, 1.0, 1.0))
    assert rounded[8:20, 8:32, 5:11].all() and rounded[29:41, 8:32, 5:11].all()
    assert rounded[23:26, 10:30, 5:11].all()
