"""Bad DICOM series: slices without pixels, without a place in space, of two scans at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from fakes.bad_files import bad, write

SIZE = 16
STUDY, SERIES = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["series"])
Change = Callable[[Dataset, int], None]


def ct_slice(index: int, series: str = SERIES) -> Dataset:
    """Slice `index` of a CT with voxels of 1 x 1 x 2 mm."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(index)])
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = STUDY, series, STUDY
    data.Modality, data.PatientID, data.PatientName = "CT", "nobody", "Nobody"
    data.InstanceNumber, data.SeriesNumber = index + 1, 1
    data.Rows = data.Columns = SIZE
    data.PixelSpacing, data.SliceThickness = [1, 1], 2
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * index]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleIntercept, data.RescaleSlope = -1024, 1
    data.PixelData = np.random.default_rng(index).integers(0, 2000, (SIZE, SIZE), np.int16).tobytes()
    return data


def write_series(folder: Path, change: Change, count: int = 4) -> Path:
    series = folder / "series"
    series.mkdir()
    for index in range(count):
        data = ct_slice(index)
        change(data, index)
        data.save_as(series / f"{index}.dcm", enforce_file_format=True)
    return series


def without(*names: str) -> Change:
    def change(data: Dataset, index: int) -> None:
        for name in names:
            delattr(data, name)

    return change


def with_values(**values: object) -> Change:
    def change(data: Dataset, index: int) -> None:
        for name, value in values.items():
            setattr(data, name, value)

    return change


def second_half_elsewhere(data: Dataset, index: int) -> None:
    if index >= 2:
        data.SeriesInstanceUID = generate_uid(entropy_srcs=["another"])


def sizes_differ(data: Dataset, index: int) -> None:
    if index == 2:
        data.Rows, data.PixelData = SIZE // 2, data.PixelData[: len(data.PixelData) // 2]


def all_in_one_place(data: Dataset, index: int) -> None:
    data.ImagePositionPatient = [0, 0, 0]


CHANGES: dict[str, tuple[Change, tuple[int, ...]]] = {
    "without pixels": (without("PixelData"), (3,)),
    "without positions": (without("ImagePositionPatient", "ImageOrientationPatient"), (3,)),
    "without pixel spacing": (without("PixelSpacing"), (3,)),
    "without rows": (without("Rows"), (3,)),
    "with impossible bits": (with_values(BitsStored=77, HighBit=76), (0, 3)),
    "pixel data too short": (with_values(PixelData=b"\0\0"), (3,)),
    "rows far beyond the data": (with_values(Rows=65535, Columns=65535), (3, 7)),
    "zero pixel spacing": (with_values(PixelSpacing=[0, 0]), (3,)),
    "orientation singular": (with_values(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), (3,)),
    "two series": (second_half_elsewhere, (0, 3)),
    "sizes that differ": (sizes_differ, (3,)),
    "slices in one place": (all_in_one_place, (3,)),
}
for _name, (_change, _codes) in CHANGES.items():
    bad(f"dicom {_name}", medical=_codes, named="series")(lambda folder, change=_change: write_series(folder, change))


@bad("dicom cut", named="series")
def _cut(folder: Path) -> Path:
    series = write_series(folder, with_values())
    for path in series.iterdir():
        path.write_bytes(path.read_bytes()[:-300])
    return series


@bad("dicom preamble only")
def _preamble(folder: Path) -> Path:
    return write(folder, "preamble.dcm", bytes(128) + b"DICM")
