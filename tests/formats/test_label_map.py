"""Label maps come back on the grid of the scan, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from fakes.scans import SHAPE, affine, dicom_series, orientations, stored_as, values, write_dicom
from vitapps.datasets.formats.label_info import LabelInfo, hue_color
from vitapps.datasets.formats.label_map import label_format, labels_path, write_label_map
from vitapps.datasets.formats.volume import read_volume
from vitapps.errors import OutputError, UsageError

INFOS = (
    LabelInfo(value=0, name="background"),
    LabelInfo(value=3, name="left lobe", color=(10, 200, 30), snomed=("12738006", "Brain"), side="left"),
    LabelInfo(value=42, name="right lobe", color=(1, 2, 3), side="right"),
)
GEOMETRY = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z",
            "srow_x", "srow_y", "srow_z", "xyzt_units", "dim")  # fmt: skip


def labels(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    made = np.zeros(shape, np.int64)
    made[2:5, 3:9, 1:4] = 3
    made[7:9, 2:5, 5:7] = 42
    return made


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("codes", [(1, 1), (0, 4), (2, 0), (0, 0), (3, 1)])
def test_nifti_geometry_is_kept_bit_for_bit(tmp_path: Path, codes: tuple[int, int], kind: type) -> None:
    image = kind(values(), None)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_sform(affine((0.7, 0.7, 3), 20), codes[0])
    image.header.set_qform(affine((0.7, 0.7, 3), 12), codes[1])
    image.header.set_slope_inter(2, 7)
    nib.save(kind(values(), None, image.header), tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    write_label_map(tmp_path / "seg.nii.gz", labels(), volume.meta, INFOS)
    old, new = (nib.load(tmp_path / name) for name in ("scan.nii.gz", "seg.nii.gz"))
    assert type(new) is kind
    for name in GEOMETRY:
        np.testing.assert_array_equal(new.header[name], old.header[name], err_msg=name)
    np.testing.assert_array_equal(new.header["pixdim"][:4], old.header["pixdim"][:4])
    np.testing.assert_array_equal(np.asarray(new.dataobj), labels())
    assert new.header.get_intent()[0] == "label"
    assert new.get_data_dtype() == np.uint8
    assert (new.dataobj.slope, new.dataobj.inter) == (1, 0)


def test_labels_beyond_255(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(values(), affine()), tmp_path / "scan.nii")
    made = labels() * 20
    write_label_map(
        tmp_path / "seg.nii", made, read_volume(tmp_path / "scan.nii").meta, [LabelInfo(value=840, name="x")]
    )
    new = nib.load(tmp_path / "seg.nii")
    assert new.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(np.asarray(new.dataobj), made)


def test_a_volume_of_a_4d_scan_and_a_pair(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(values((*SHAPE, 2)), affine()), tmp_path / "four.nii")
    nib.save(nib.Nifti1Pair(values(), affine((1, 2, 3), 5)), tmp_path / "pair.img")
    for volume in (read_volume(tmp_path / "four.nii", volume=1), read_volume(tmp_path / "pair.hdr")):
        write_label_map(tmp_path / "seg.nii.gz", labels(), volume.meta, INFOS, overwrite=True)
        new = nib.load(tmp_path / "seg.nii.gz")
        assert new.shape == SHAPE
        np.testing.assert_allclose(new.affine, volume.meta.affine, atol=1e-6)
        np.testing.assert_allclose(new.header.get_zooms(), volume.meta.spacing, rtol=1e-5)


@pytest.mark.parametrize("name", ["seg.nrrd", "seg.nii.gz"])
@pytest.mark.parametrize("degrees", [0, 25])
def test_every_orientation_comes_back(tmp_path: Path, name: str, degrees: float) -> None:
    for axes, signs in list(orientations())[:: 1 if degrees else 5]:
        array, matrix = stored_as(values(), affine((0.9, 1.1, 2), degrees), axes, signs)
        nib.save(nib.Nifti1Image(array, matrix), tmp_path / "scan.nii")
        made = stored_as(labels(), affine(), axes, signs)[0]
        write_label_map(tmp_path / name, made, read_volume(tmp_path / "scan.nii").meta, INFOS, overwrite=True)
        read = read_volume(tmp_path / name, labels=True)
        np.testing.assert_array_equal(read.array, made)
        np.testing.assert_allclose(read.meta.affine, matrix, atol=1e-5)


def test_nrrd_names_its_segments_for_slicer(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(values(), affine()), tmp_path / "scan.nii")
    write_label_map(tmp_path / "a.seg.nrrd", labels(), read_volume(tmp_path / "scan.nii").meta, INFOS)
    image = sitk.ReadImage(str(tmp_path / "a.seg.nrrd"))
    assert image.GetMetaData("Segment0_Name") == "left lobe"
    assert image.GetMetaData("Segment1_LabelValue") == "42"
    assert image.GetMetaData("Segment0_Extent") == "0 11 0 13 0 9"
    assert image.GetPixelIDValue() == sitk.sitkUInt8


def test_names_lie_beside(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(values(), affine()), tmp_path / "scan.nii")
    write_label_map(tmp_path / "seg.nii.gz", labels(), read_volume(tmp_path / "scan.nii").meta, INFOS)
    found = json.loads((tmp_path / "seg.labels.json").read_text())["labels"]
    assert [(row["value"], row["name"]) for row in found] == [(3, "left lobe"), (42, "right lobe")]
    assert labels_path(Path("x/a.seg.nrrd")) == Path("x/a.labels.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.nii", "seg.labels.json", "seg.nii.gz"]


@pytest.mark.parametrize("cosines", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)])
def test_dicom_seg(tmp_path: Path, cosines: tuple[float, ...]) -> None:
    normal = np.cross(cosines[:3], cosines[3:])
    slices = dicom_series(values(), cosines=cosines, step=tuple(2.0 * normal), modality="MR")
    volume = read_volume(write_dicom(tmp_path / "s", slices))
    write_label_map(tmp_path / "seg.dcm", labels(), volume.meta, INFOS, source="vitapps test")
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert [seg.get_segment_description(i).segment_label for i in (1, 2)] == ["left lobe", "right lobe"]
    first = seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (first.CodeValue, first.CodingSchemeDesignator) == ("12738006", "SCT")
    assert first.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99VITAPPS"
    referred = [str(data.SOPInstanceUID) for data in slices]
    stacks = seg.get_pixels_by_source_instance(referred, combine_segments=True, ignore_spatial_locations=True)
    numbers = np.searchsorted([0, 3, 42], labels())
    np.testing.assert_array_equal(stacks, numbers.transpose(2, 1, 0))


def test_dicom_seg_needs_dicom_and_a_segment(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(values(), affine()), tmp_path / "scan.nii")
    with pytest.raises(UsageError, match="needs a DICOM series"):
        write_label_map(tmp_path / "seg.dcm", labels(), read_volume(tmp_path / "scan.nii").meta, INFOS)
    volume = read_volume(write_dicom(tmp_path / "s", dicom_series(values())))
    with pytest.raises(UsageError, match="cannot be empty"):
        write_label_map(tmp_path / "seg.dcm", labels() * 0, volume.meta, INFOS)
    assert not (tmp_path / "seg.dcm").exists()


def test_tilted_dicom_as_nifti(tmp_path: Path) -> None:
    volume = read_volume(write_dicom(tmp_path / "s", dicom_series(values(), step=(0, 0.6, 2))))
    write_label_map(tmp_path / "seg.nii.gz", labels(), volume.meta, INFOS)
    new = nib.load(tmp_path / "seg.nii.gz")
    np.testing.assert_allclose(new.affine, volume.meta.affine, atol=1e-6)
    assert (int(new.header["sform_code"]), int(new.header["qform_code"])) == (1, 0)


def test_formats_by_name() -> None:
    names = {"a.nii": "nifti", "a.nii.gz": "nifti", "a.seg.nrrd": "nrrd", "a.dcm": "dicom-seg"}
    assert {name: label_format(Path(name)) for name in names} == names
    for name, wanted in (("a.png", None), ("a.nii", "nrrd"), ("a.nii", "tiff")):
        with pytest.raises(UsageError):
            label_format(Path(name), wanted)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(values(), affine()), tmp_path / "scan.nii")
    meta = read_volume(tmp_path / "scan.nii").meta
    (tmp_path / "seg.labels.json").write_text("mine")
    with pytest.raises(OutputError, match=r"seg\.labels\.json"):
        write_label_map(tmp_path / "seg.nii.gz", labels(), meta, INFOS)
    assert (tmp_path / "seg.labels.json").read_text() == "mine"


def test_colours_differ() -> None:
    assert len({hue_color(rank) for rank in range(40)}) == 40
