"""DICOM volumes through pydicom: a series folder, one file of a series, an enhanced multi-frame file, a zip."""

from __future__ import annotations

import logging
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats import volume_checks as checks
from vitapps.datasets.formats.dicom_geometry import Frame, Stack, stack_frames
from vitapps.datasets.formats.dicom_series import Series, choose_series, find_series, read_dataset, series_of_file
from vitapps.datasets.formats.volume_types import Volume, VolumeMeta
from vitapps.errors import OutOfMemoryError, UnreadableInputError, VitappsError

log = logging.getLogger("vitapps.formats.dicom")
COLUMNS_OF_TIME = ("EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber", "InstanceNumber")


def read_dicom(path: Path, *, series: str | None = None, volume: int | None = None) -> Volume:
    """Read one series as X Y Z (column, row, slice), rescaled. `series` is a SeriesInstanceUID or its end.

    `volume` chooses among slices that share a position. Raises UnreadableInputError.
    """
    if path.is_dir():
        return _read(path, choose_series(path, find_series(path), series), volume)
    if path.suffix.lower() == ".zip":
        return _read_zip(path, series, volume)
    return _read(path, series_of_file(path), volume)


def _read(path: Path, series: Series, volume: int | None) -> Volume:
    try:
        frames = [frame for dataset in series.datasets for frame in _frames(path, dataset)]
        stack = stack_frames(path, frames, volume)
        first = stack.frames[0].dataset
        shape = (int(first.Columns), int(first.Rows), len(stack.frames))
        if int(first.get("SamplesPerPixel", 1)) != 1:
            raise UnreadableInputError(f"{path}: colour pixels, not intensities", hint="give a grey-scale series")
        checks.check_shape(path, shape)
        checks.check_memory(path, shape, 4)
        checks.check_affine(path, stack.affine, shape)
        array = _pixels(path, stack, shape)
    except VitappsError:
        raise
    except MemoryError:
        raise OutOfMemoryError(f"{path}: does not fit in memory", hint="crop it first") from None
    except (AttributeError, ValueError, TypeError, KeyError, IndexError, OSError, EOFError, RuntimeError) as error:
        line = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UnreadableInputError(f"{path}: damaged DICOM: {line}", hint="export the series again") from error
    warnings = list(stack.warnings)
    if first.get("PhotometricInterpretation") == "MONOCHROME1":
        warnings.append("MONOCHROME1 (low values are bright): the intensities were inverted")
    meta = VolumeMeta(
        source=path, format="dicom", shape=shape, affine=stack.affine, dtype=array.dtype,
        header=[frame.dataset for frame in stack.frames], warnings=tuple(warnings),
    )  # fmt: skip
    return Volume(array, meta)


def _frames(path: Path, dataset: Any) -> list[Frame]:
    """The frames of one data set; functional groups where it is an enhanced object."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        if int(dataset.get("NumberOfFrames", 1) or 1) > 1:
            raise UnreadableInputError(
                f"{path}: a multi-frame file without a position for each frame", hint="give an enhanced CT or MR object"
            )
        return [_frame(path, dataset, 0, dataset, dataset, dataset)]
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    return [
        _frame(
            path,
            dataset,
            number,
            _group("PlanePositionSequence", groups, shared),
            _group("PlaneOrientationSequence", groups, shared),
            _group("PixelMeasuresSequence", groups, shared),
            _group("PixelValueTransformationSequence", groups, shared),
        )
        for number, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence)
    ]


def _group(name: str, groups: Any, shared: Any) -> Any:
    found = groups.get(name) or (shared.get(name) if shared is not None else None)
    return found[0] if found else {}


def _frame(
    path: Path, dataset: Any, number: int, position: Any, orientation: Any, measures: Any, rescale: Any = None
) -> Frame:
    rescale = dataset if rescale is None else rescale
    place = position.get("ImagePositionPatient")
    cosines = orientation.get("ImageOrientationPatient")
    spacing = measures.get("PixelSpacing")
    wanted = {"ImagePositionPatient": place, "ImageOrientationPatient": cosines, "PixelSpacing": spacing}
    lacking = [name for name, value in wanted.items() if not value]
    if lacking:
        where = Path(str(dataset.filename)).name
        raise UnreadableInputError(
            f"{path}: {where} has no {', '.join(lacking)}: its place in the patient is unknown",
            hint="give an original CT or MR series, not a secondary capture",
        )
    return Frame(
        dataset,
        number,
        tuple(float(value) for value in place),  # type: ignore[arg-type]
        tuple(float(value) for value in cosines),
        (float(spacing[0]), float(spacing[1])),
        _number(rescale.get("RescaleSlope"), 1.0),
        _number(rescale.get("RescaleIntercept"), 0.0),
        (*(_number(dataset.get(name), 0.0) for name in COLUMNS_OF_TIME), float(number)),
    )


def _number(value: Any, default: float) -> float:
    return default if value is None or value == "" else float(value)


def _pixels(path: Path, stack: Stack, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Decode frame by frame into X Y Z; int16 where every frame has the same whole-number rescaling that fits."""
    array = np.empty(shape, _target_dtype(stack))
    decoded: Any = None
    owner: Any = None
    for index, frame in enumerate(stack.frames):
        if owner is not frame.dataset:
            owner, decoded = frame.dataset, _decode(path, frame.dataset)
        plane = decoded[frame.number] if decoded.ndim == 3 else decoded  # rows columns
        if owner.get("PhotometricInterpretation") == "MONOCHROME1":
            plane = _invert(plane, owner)
        array[:, :, index] = (plane * frame.slope + frame.intercept).T  # rows columns -> X Y
    return array


def _target_dtype(stack: Stack) -> Any:
    first = stack.frames[0].dataset
    whole = all(float(f.slope).is_integer() and float(f.intercept).is_integer() for f in stack.frames)
    bits = int(first.get("BitsStored", 16))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if first.get("PixelRepresentation") else (0, (1 << bits) - 1)
    ends = [end * f.slope + f.intercept for f in stack.frames for end in (low, high)]
    return np.int16 if whole and min(ends) >= -32768 and max(ends) <= 32767 else np.float32


def _invert(plane: NDArray[Any], dataset: Any) -> NDArray[Any]:
    bits = int(dataset.BitsStored)
    total = -1 if dataset.get("PixelRepresentation") else (1 << bits) - 1  # lowest + highest storable value
    return total - plane.astype(np.int32)


def _decode(path: Path, dataset: Any) -> NDArray[Any]:
    """Pixels of one file, frames? rows columns, native or compressed."""
    full = read_dataset(str(dataset.filename))
    where = Path(str(dataset.filename)).name
    if "PixelData" not in full:
        raise UnreadableInputError(f"{path}: {where} has no pixel data", hint="export the series again")
    try:
        pixels: NDArray[Any] = full.pixel_array
    except NotImplementedError as error:
        name = full.file_meta.TransferSyntaxUID.name
        raise UnreadableInputError(f"{path}: no decoder for {name}", hint="decompress it first") from error
    except RuntimeError as error:
        line = str(error).strip().splitlines()[0]
        raise UnreadableInputError(
            f"{path}: {where}: pixels not decodable: {line[:200]}", hint="export the series again, uncompressed"
        ) from error
    return pixels


def _read_zip(path: Path, series: str | None, volume: int | None) -> Volume:
    """Unpack into a temporary folder, bounded by the memory limit, and read the series from there."""
    checks.check_file(path)
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="vitapps-dicom-") as folder:
            total = sum(item.file_size for item in archive.infolist())
            checks.check_holdable(path, total, path.stat().st_size, compressed=True)
            if total > checks.memory_limit():
                raise OutOfMemoryError(f"{path}: unpacks to {total} bytes", hint="give the unpacked folder")
            archive.extractall(folder)
            read = _read(path, choose_series(path, find_series(Path(folder)), series), volume)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise UnreadableInputError(f"{path}: damaged zip: {error}", hint="give the unpacked folder") from error
    return read
