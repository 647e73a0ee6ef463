"""NIfTI reading: every stored type, both versions, every packing, geometry and units."""

from __future__ import annotations

import bz2
import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes.scans import SHAPE, affine, values
from vitapps.datasets.formats.volume import read_volume
from vitapps.errors import UnreadableInputError


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nii.bz2", ".img", ".hdr"])
@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "int32", "float32", "float64", ">i2", ">f4"])
def test_every_type_and_packing(tmp_path: Path, suffix: str, kind: str) -> None:
    array = (values() % 100).astype(kind)
    image = (nib.Nifti1Pair if suffix in (".img", ".hdr") else nib.Nifti1Image)(array, affine((0.7, 1.1, 3), 20))
    nib.save(image, tmp_path / f"scan{suffix}")
    read = read_volume(tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.meta.affine, affine((0.7, 1.1, 3), 20), atol=1e-5)
    np.testing.assert_allclose(read.meta.spacing, (0.7, 1.1, 3), rtol=1e-5)
    assert read.meta.shape == SHAPE
    assert read.meta.voxel_ml == pytest.approx(0.7 * 1.1 * 3 / 1000, rel=1e-5)


def test_nifti_2_and_a_name_that_lies_about_the_packing(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(values(), affine()), tmp_path / "two.nii")
    packed = gzip.compress((tmp_path / "two.nii").read_bytes())
    (tmp_path / "packed.nii").write_bytes(packed)
    (tmp_path / "wrong.nii.gz").write_bytes(bz2.compress((tmp_path / "two.nii").read_bytes()))
    for name in ("two.nii", "packed.nii", "wrong.nii.gz"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, values())


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(values(), affine())
    image.header.set_slope_inter(0.5, -100)
    nib.save(image, tmp_path / "scan.nii.gz")  # nibabel divides on writing: the real values are those given
    stored = nib.load(tmp_path / "scan.nii.gz").dataobj
    assert (stored.slope, stored.inter) == (0.5, -100)
    read = read_volume(tmp_path / "scan.nii.gz")
    assert read.array.dtype == np.float32
    np.testing.assert_allclose(read.array, np.asarray(stored), atol=1e-3)


def test_units_become_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(values(), np.diag([0.001, 0.002, 0.003, 1]))
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "scan.nii")
    np.testing.assert_allclose(read_volume(tmp_path / "scan.nii").meta.spacing, (1, 2, 3), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_one_of_several_volumes(tmp_path: Path, suffix: str) -> None:
    four = values((*SHAPE, 3))
    nib.save(nib.Nifti1Image(four, affine()), tmp_path / f"four{suffix}")
    with pytest.raises(UnreadableInputError, match="3 volumes"):
        read_volume(tmp_path / f"four{suffix}")
    with pytest.raises(UnreadableInputError, match="no volume 3"):
        read_volume(tmp_path / f"four{suffix}", volume=3)
    np.testing.assert_array_equal(read_volume(tmp_path / f"four{suffix}", volume=1).array, four[..., 1])


@pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1), (*SHAPE, 1, 3)])
def test_axes_of_one_are_no_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = values(shape)
    nib.save(nib.Nifti1Image(array, affine()), tmp_path / "scan.nii")
    last = 2 if shape[-1] == 3 else None
    read = read_volume(tmp_path / "scan.nii", volume=last)
    np.testing.assert_array_equal(read.array, array.reshape(*SHAPE, -1)[..., last or 0])


def test_doubtful_orientation_is_said(tmp_path: Path) -> None:
    image = nib.Nifti1Image(values(), affine())
    image.header.set_sform(affine(), 0)
    image.header.set_qform(affine(), 0)
    nib.save(nib.Nifti1Image(values(), None, image.header), tmp_path / "none.nii")
    said = read_volume(tmp_path / "none.nii").meta.warnings[0]
    assert "no orientation" in said
    assert "front and back" in said  # the guess of the standard is another than that of most scanners
    moved = affine()
    moved[0, 3] += 20
    image.header.set_sform(moved, 1)
    image.header.set_qform(affine(), 1)
    nib.save(nib.Nifti1Image(values(), None, image.header), tmp_path / "two.nii")
    read = read_volume(tmp_path / "two.nii")
    assert "disagree" in read.meta.warnings[0]
    np.testing.assert_allclose(read.meta.affine, moved, atol=1e-5)


def test_a_flipped_bit_does_not_pass(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 40), dtype=np.uint8)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), tmp_path / "scan.nii.gz")
    content = bytearray((tmp_path / "scan.nii.gz").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "scan.nii.gz").write_bytes(content)
    with pytest.raises(UnreadableInputError):
        read_volume(tmp_path / "scan.nii.gz")


def test_reading_loads_no_dicom_and_no_http_client(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(np.arange(120, dtype=np.float32).reshape(4, 5, 6), np.eye(4)), path)
    code = (
        "import sys; from pathlib import Path; from vitapps.datasets.formats.volume import read_volume; "
        "read_volume(Path(sys.argv[1])); print(*{'nibabel', 'pydicom', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nibabel"]
