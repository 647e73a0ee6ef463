"""NRRD, MetaImage and MGZ: the world axes of ITK and FreeSurfer come out as those of NIfTI."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from fakes.scans import affine, values
from vitapps.datasets.formats.volume import read_volume, volume_stem
from vitapps.errors import UnreadableInputError


def itk(array: np.ndarray, matrix: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(array.transpose())
    lps = np.diag([-1, -1, 1, 1]) @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["scan.nrrd", "scan.nhdr", "scan.mha", "scan.mhd"])
def test_itk_formats(tmp_path: Path, name: str, packed: bool) -> None:
    matrix = affine((0.8, 1.2, 2.5), 17)
    sitk.WriteImage(itk(values(), matrix), str(tmp_path / name), packed)
    read = read_volume(tmp_path / name)
    np.testing.assert_array_equal(read.array, values())
    np.testing.assert_allclose(read.meta.affine, matrix, atol=1e-6)
    assert read.meta.warnings == ()


def test_nrrd_in_ras_space(tmp_path: Path) -> None:
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 12 14 10\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (4,5,6)\n\n"
    )
    content = header.encode() + values().tobytes(order="F")
    (tmp_path / "scan.nrrd").write_bytes(content)
    read = read_volume(tmp_path / "scan.nrrd")
    np.testing.assert_array_equal(read.array, values())
    np.testing.assert_allclose(read.meta.affine, [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6], [0, 0, 0, 1]])


@pytest.mark.parametrize("name", ["four.nrrd", "four.mha"])
def test_one_of_several_volumes(tmp_path: Path, name: str) -> None:
    one = itk(values(), affine())
    sitk.WriteImage(sitk.JoinSeries([one, one + 1000]), str(tmp_path / name))
    with pytest.raises(UnreadableInputError, match="2 volumes"):
        read_volume(tmp_path / name)
    read = read_volume(tmp_path / name, volume=1)
    np.testing.assert_array_equal(read.array, values() + 1000)
    np.testing.assert_allclose(read.meta.affine, affine(), atol=1e-6)


def test_colour_is_refused(tmp_path: Path) -> None:
    one = itk(values(), affine())
    sitk.WriteImage(sitk.Compose([one, one, one]), str(tmp_path / "colour.mha"))
    with pytest.raises(UnreadableInputError, match="3 values a voxel"):
        read_volume(tmp_path / "colour.mha")


def test_a_complaint_of_itk_stays_inside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sitk.WriteImage(itk(values(), affine()), str(tmp_path / "scan.mha"), True)
    content = (tmp_path / "scan.mha").read_bytes()
    (tmp_path / "scan.mha").write_bytes(content[:-100])
    with pytest.raises(UnreadableInputError, match=r"scan\.mha"):
        read_volume(tmp_path / "scan.mha")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["scan.mgz", "scan.mgh"])
def test_mgh(tmp_path: Path, name: str) -> None:
    matrix = affine((1, 1, 2), 9)
    nib.save(nib.MGHImage(values(), matrix), tmp_path / name)
    read = read_volume(tmp_path / name)
    np.testing.assert_array_equal(read.array, values())
    assert read.array.dtype.isnative
    np.testing.assert_allclose(read.meta.affine, matrix, atol=1e-4)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:200])
    with pytest.raises(UnreadableInputError):
        read_volume(tmp_path / name)


def test_stems() -> None:
    names = ("a/scan.nii.gz", "scan.b.nii", "scan.MGZ", "scan", "x.seg.nrrd")
    assert [volume_stem(Path(n)) for n in names] == ["scan", "scan.b", "scan", "scan", "x.seg"]
