"""DICOM series: order and spacing by position, choice of a series, tilt, gaps, rescaling, enhanced files, zips."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from fakes.scans import dicom_series, dicom_slice, values, write_dicom
from vitapps.datasets.formats.volume import read_volume
from vitapps.errors import UnreadableInputError

ARRAY = values((12, 9, 7))
EXPECTED = np.array([[-0.5, 0, 0, 20], [0, -0.8, 0, -30], [0, 0, 2.5, 5], [0, 0, 0, 1]])  # rows 0.8, columns 0.5 mm


def test_order_and_spacing_come_from_positions(tmp_path: Path) -> None:
    read = read_volume(write_dicom(tmp_path / "s", dicom_series(ARRAY, spacing=(0.8, 0.5))))
    np.testing.assert_array_equal(read.array, ARRAY)
    np.testing.assert_allclose(read.meta.affine, EXPECTED)
    assert read.meta.warnings == ()


def test_instance_numbers_may_run_backwards(tmp_path: Path) -> None:
    slices = dicom_series(ARRAY, spacing=(0.8, 0.5))
    for data in slices:
        data.InstanceNumber = 100 - data.InstanceNumber
    np.testing.assert_array_equal(read_volume(write_dicom(tmp_path / "s", slices)).array, ARRAY)


@pytest.mark.parametrize("cosines", [(0, 1, 0, 0, 0, -1), (0, 0.8, 0.6, 0, -0.6, 0.8), (-1, 0, 0, 0, 1, 0)])
def test_every_voxel_keeps_its_place(tmp_path: Path, cosines: tuple[float, ...]) -> None:
    normal = np.cross(cosines[:3], cosines[3:])
    slices = dicom_series(ARRAY, step=tuple(3.0 * normal), cosines=cosines, spacing=(0.8, 0.5))
    read = read_volume(write_dicom(tmp_path / "s", slices))
    place = read.meta.affine @ (4, 5, 6, 1)
    lps = np.array([-20, 30, 5]) + 4 * 0.5 * np.array(cosines[:3]) + 5 * 0.8 * np.array(cosines[3:]) + 6 * 3 * normal
    np.testing.assert_allclose(place[:3], lps * (-1, -1, 1), atol=1e-5)
    assert read.array[4, 5, 6] == ARRAY[4, 5, 6]


def test_rescaling(tmp_path: Path) -> None:
    slices = dicom_series(ARRAY)
    for index, data in enumerate(slices):
        data.RescaleSlope, data.RescaleIntercept = 0.25 * (index + 1), -10
    read = read_volume(write_dicom(tmp_path / "s", slices))
    np.testing.assert_allclose(read.array, ARRAY * (0.25 * np.arange(1, 8)) - 10, rtol=1e-6)
    assert read.array.dtype == np.float32


def test_whole_hounsfield_units_stay_integers(tmp_path: Path) -> None:
    slices = dicom_series(np.abs(ARRAY))
    for data in slices:
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
    read = read_volume(write_dicom(tmp_path / "s", slices))
    np.testing.assert_array_equal(read.array, np.abs(ARRAY) - 1024)
    assert read.array.dtype == np.int16


def test_monochrome_1_is_inverted_and_said(tmp_path: Path) -> None:
    slices = dicom_series(np.abs(ARRAY))
    for data in slices:
        data.PhotometricInterpretation = "MONOCHROME1"
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, 11, 0
    read = read_volume(write_dicom(tmp_path / "s", slices))
    np.testing.assert_array_equal(read.array, 4095 - np.abs(ARRAY))
    assert "MONOCHROME1" in read.meta.warnings[0]


def test_two_series_are_listed_and_chosen(tmp_path: Path) -> None:
    other = values(ARRAY.shape, seed=1)
    slices = [*dicom_series(ARRAY, series="1"), *dicom_series(other, series="2")]
    folder = write_dicom(tmp_path / "s", slices)
    with pytest.raises(UnreadableInputError, match=r"2 series: .*series 1, 7 files.*series 2, 7 files") as caught:
        read_volume(folder)
    assert "--series" in caught.value.hint
    uid = str(slices[-1].SeriesInstanceUID)
    np.testing.assert_array_equal(read_volume(folder, series=uid).array, other)
    np.testing.assert_array_equal(read_volume(folder, series=uid[-12:]).array, other)
    with pytest.raises(UnreadableInputError, match="0 series match"):
        read_volume(folder, series="1.2.3")


def test_one_file_stands_for_its_series(tmp_path: Path) -> None:
    slices = [*dicom_series(ARRAY, series="1"), *dicom_series(values(ARRAY.shape, seed=1), series="2")]
    folder = write_dicom(tmp_path / "s", slices)
    slices[2].save_as(tmp_path / "s" / "chosen.dcm", enforce_file_format=True)
    (tmp_path / "s" / "IM000").read_bytes()
    for file in folder.iterdir():
        if file.name != "chosen.dcm" and slices[2].SOPInstanceUID.encode() in file.read_bytes():
            file.unlink()
    np.testing.assert_array_equal(read_volume(folder / "chosen.dcm").array, ARRAY)


def test_a_missing_slice_is_an_error_that_says_where(tmp_path: Path) -> None:
    slices = dicom_series(ARRAY)
    del slices[3]
    with pytest.raises(UnreadableInputError, match=r"about 1 missing: 5\.00 mm instead of 2\.50 mm after slice 3"):
        read_volume(write_dicom(tmp_path / "s", slices))


def test_gantry_tilt_is_kept_and_said(tmp_path: Path) -> None:
    read = read_volume(write_dicom(tmp_path / "s", dicom_series(ARRAY, step=(0, 0.5, 2.5))))
    np.testing.assert_allclose(read.meta.affine[:3, 2], (0, -0.5, 2.5))
    assert "gantry tilt of 11.3 degrees" in read.meta.warnings[0]


def test_echoes_are_chosen_by_number(tmp_path: Path) -> None:
    slices = []
    for echo in (2, 1):
        for data in dicom_series(ARRAY + echo, modality="MR"):
            data.EchoTime = 10 * echo
            data.SOPInstanceUID = f"{data.SOPInstanceUID[:50]}.{echo}"
            slices.append(data)
    folder = write_dicom(tmp_path / "s", slices)
    with pytest.raises(UnreadableInputError, match="2 slices at every position"):
        read_volume(folder)
    np.testing.assert_array_equal(read_volume(folder, volume=1).array, ARRAY + 2)


def test_other_objects_in_the_folder_do_no_harm(tmp_path: Path) -> None:
    slices = dicom_series(ARRAY)
    report = dicom_slice(ARRAY[:, :, 0].T, (0, 0, 0), series="9")
    report.Modality = "SR"
    del report.Rows, report.PixelData
    folder = write_dicom(tmp_path / "s", [*slices, report])
    (folder / "DICOMDIR.txt").write_text("not DICOM")
    np.testing.assert_array_equal(read_volume(folder).array, ARRAY)


@pytest.mark.parametrize("copied", [1, 7])
def test_copies_of_a_file_count_once(tmp_path: Path, copied: int) -> None:
    folder = write_dicom(tmp_path / "s", dicom_series(ARRAY))
    for file in sorted(folder.iterdir())[:copied]:
        shutil.copy(file, folder / f"copy of {file.name}")
    np.testing.assert_array_equal(read_volume(folder).array, ARRAY)
    np.testing.assert_array_equal(read_volume(folder / "IM000").array, ARRAY)


def test_slices_that_an_anonymiser_gave_one_uid_are_no_copies(tmp_path: Path) -> None:
    slices = dicom_series(ARRAY)
    for data in slices:
        data.SOPInstanceUID = slices[0].SOPInstanceUID
    np.testing.assert_array_equal(read_volume(write_dicom(tmp_path / "s", slices)).array, ARRAY)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_files_of_old_archives_have_no_preamble(tmp_path: Path, syntax: str) -> None:
    slices = dicom_series(ARRAY)
    for data in slices:
        data.file_meta.TransferSyntaxUID = syntax
    folder = write_dicom(tmp_path / "s", slices)
    for file in folder.iterdir():
        content = file.read_bytes()
        file.write_bytes(content[144 + int.from_bytes(content[140:144], "little") :])  # less preamble and meta group
    np.testing.assert_array_equal(read_volume(folder).array, ARRAY)
    np.testing.assert_array_equal(read_volume(folder / "IM000").array, ARRAY)


def test_a_slice_of_another_orientation_is_named(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "s", dicom_series(ARRAY))
    across = dicom_slice(ARRAY[:, :, 0].T, (0, 0, 0), cosines=(0, 1, 0, 0, 0, -1), number=99)
    across.save_as(folder / "A_LOCALIZER", enforce_file_format=True)
    with pytest.raises(UnreadableInputError, match="A_LOCALIZER differ") as caught:
        read_volume(folder)
    assert "move these files elsewhere" in caught.value.hint


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless, JPEG2000Lossless])
def test_compressed(tmp_path: Path, syntax: str) -> None:
    array = np.abs(np.tile(ARRAY, (6, 8, 1)))  # JPEG 2000 needs a few more pixels
    slices = dicom_series(array)
    for data in slices:
        data.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read_volume(write_dicom(tmp_path / "s", slices)).array, array)


def test_enhanced_multi_frame(tmp_path: Path) -> None:
    order = [3, 0, 6, 1, 5, 2, 4]  # frames need not be stored in order
    data = dicom_slice(ARRAY[:, :, 0].T, (0, 0, 0), modality="MR")
    del data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    data.NumberOfFrames = len(order)
    data.PixelData = b"".join(ARRAY[:, :, k].T.astype("<i2").tobytes() for k in order)
    shared, orientation, measures, scale = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [0.8, 0.5]
    scale.RescaleSlope, scale.RescaleIntercept = 2, 1
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([scale])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = [-20, 30, 5 + 2.5 * k]
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.save_as(tmp_path / "enhanced.dcm", enforce_file_format=True)
    read = read_volume(tmp_path / "enhanced.dcm")
    np.testing.assert_array_equal(read.array, ARRAY * 2.0 + 1)
    np.testing.assert_allclose(read.meta.affine, EXPECTED)


def test_a_zip_of_a_series(tmp_path: Path) -> None:
    write_dicom(tmp_path / "s" / "deep", dicom_series(ARRAY))
    shutil.make_archive(str(tmp_path / "series"), "zip", tmp_path / "s")
    np.testing.assert_array_equal(read_volume(tmp_path / "series.zip").array, ARRAY)
    (tmp_path / "series.zip").write_bytes((tmp_path / "series.zip").read_bytes()[:-200])
    with pytest.raises(UnreadableInputError, match=r"series\.zip"):
        read_volume(tmp_path / "series.zip")
