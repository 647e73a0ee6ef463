"""Air far from the head: what is cut off, and that the answer comes back on the whole grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes.scans import affine
from fakes.volume_network import loader, phantom
from vitapps.datasets.formats.volume import Volume, read_volume
from vitapps.pipelines.medical.far_air import without_far_air
from vitapps.pipelines.medical.segment import segment
from vitapps.pipelines.medical.segment_types import SegmentChoices
from vitapps.pipelines.medical.volume_model import VolumeModel


def padded(image: np.ndarray, beyond: int, value: float) -> np.ndarray:
    return np.pad(image, [(beyond, beyond), (0, 0), (0, 0)], constant_values=value)


def volume_of(folder: Path, image: np.ndarray, matrix: np.ndarray) -> Volume:
    nib.save(nib.Nifti1Image(image, matrix), folder / "scan.nii")
    return read_volume(folder / "scan.nii")


@pytest.mark.parametrize("air", [0.0, -7.0, np.nan])
def test_far_air_goes_and_places_stay(air: float, tmp_path: Path) -> None:
    head = phantom()[0] + np.float32(50)
    volume = volume_of(tmp_path, padded(head, 120, air), affine((2, 2, 2), 15))
    part, box = without_far_air(volume)
    assert box[0] == slice(115, 120 + len(head) + 5)  # 10 mm stay on both sides
    assert part.array.shape == part.meta.shape == (len(head) + 10, *head.shape[1:])
    np.testing.assert_array_equal(part.array, volume.array[box])
    here, there = (5, 6, 7, 1), (5 + box[0].start, 6, 7, 1)
    np.testing.assert_allclose(part.meta.affine @ here, volume.meta.affine @ there)


def test_scans_of_a_usual_length_stay_as_they_are(tmp_path: Path) -> None:
    volume = volume_of(tmp_path, padded(phantom()[0], 4, 0), affine((2, 2, 2), 15))
    assert without_far_air(volume)[0] is volume


def test_a_scan_in_a_huge_grid_is_seen_as_it_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VolumeModel, "load", loader())
    head, found = phantom()[0], {}
    for beyond in (5, 200):
        scan = volume_of(tmp_path, padded(head, beyond, 0), affine((2, 2, 2), 15))
        out = tmp_path / f"{beyond}.nii.gz"
        segment(scan.meta.source, out, choices=SegmentChoices(refine=False))
        labels = np.asarray(nib.load(out).dataobj)
        assert labels.shape == scan.meta.shape
        assert not labels[:beyond].any()
        found[beyond] = labels[beyond : beyond + len(head)]
    np.testing.assert_array_equal(found[200], found[5])
    assert found[5].any()
