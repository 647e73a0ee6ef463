"""Good scans, made on demand: a phantom in any orientation, and DICOM series of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

SHAPE = (12, 14, 10)


def values(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> NDArray[np.int16]:
    """Voxels that are all different enough to notice any exchange."""
    return np.random.default_rng(seed).integers(-1000, 3000, shape).astype(np.int16)


def rotation(degrees: float) -> NDArray[np.float64]:
    """About x, then about z by half as much."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix: NDArray[np.float64] = about_z @ about_x
    return matrix


def affine(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), degrees: float = 0.0) -> NDArray[np.float64]:
    """RAS+ affine of nearly canonical axes."""
    made = np.eye(4)
    made[:3, :3] = rotation(degrees) * np.array(spacing)
    made[:3, 3] = (-7.0, 11.0, 3.5)
    return made


def orientations() -> Iterator[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """All 48: which canonical axis every stored axis is, and its sign."""
    for axes in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            yield (axes[0], axes[1], axes[2]), (signs[0], signs[1], signs[2])


def stored_as(
    array: NDArray[np.generic], matrix: NDArray[np.float64], axes: tuple[int, ...], signs: tuple[int, ...]
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The same voxels at the same places in the world, stored with other axes."""
    index = np.zeros((4, 4))
    index[3, 3] = 1
    out = array.transpose(axes)
    for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
        index[old, new] = sign
        if sign < 0:
            out = np.flip(out, new)
            index[old, 3] = array.shape[old] - 1
    return np.ascontiguousarray(out), matrix @ index


def dicom_slice(
    pixels: NDArray[np.int16], position: tuple[float, float, float], *, series: str = "1", number: int = 1,
    cosines: tuple[float, ...] = (1, 0, 0, 0, 1, 0), spacing: tuple[float, float] = (1.0, 1.0), modality: str = "CT",
) -> Dataset:  # fmt: skip
    """One classic slice; `pixels` rows columns, `position` LPS mm."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    data.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number), str(position)])
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.StudyInstanceUID = data.FrameOfReferenceUID = generate_uid(entropy_srcs=["study"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", series])
    data.Modality, data.PatientID, data.PatientName = modality, "nobody", "Nobody^"
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = data.AccessionNumber = ""
    data.StudyID, data.ReferringPhysicianName, data.PositionReferenceIndicator = "", "", ""
    data.InstanceNumber, data.SeriesNumber, data.SeriesDescription = number, 1, f"series {series}"
    data.Rows, data.Columns = pixels.shape
    data.PixelSpacing, data.SliceThickness = list(spacing), 99  # never to be used for the distance of slices
    data.ImageOrientationPatient, data.ImagePositionPatient = list(cosines), list(position)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.PixelData = pixels.astype("<i2").tobytes()
    return data


def write_dicom(folder: Path, slices: list[Dataset]) -> Path:
    """Write slices under names that say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(5).permutation(len(slices))
    for name, index in enumerate(order):
        slices[index].save_as(folder / f"IM{name:03d}", enforce_file_format=True)
    return folder


def dicom_series(
    array: NDArray[np.int16], *, step: tuple[float, float, float] = (0, 0, 2.5), series: str = "1", **options: object
) -> list[Dataset]:
    """Slices of X Y Z voxels, `step` LPS mm from one to the next, starting at (-20, 30, 5)."""
    start = np.array([-20.0, 30.0, 5.0])
    return [
        dicom_slice(array[:, :, k].T, tuple(start + k * np.array(step)), series=series, number=k + 1, **options)  # type: ignore[arg-type]
        for k in range(array.shape[2])
    ]
