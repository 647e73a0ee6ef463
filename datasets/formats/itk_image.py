"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd) volumes through SimpleITK, header first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats import volume_checks as checks
from vitapps.datasets.formats.volume_types import Volume, VolumeFormat, VolumeMeta, lps_to_ras
from vitapps.errors import UnreadableInputError
from vitapps.require import require

DETACHED = (".nhdr", ".mhd")
SMALLEST_HEADER = 16


def read_itk_image(path: Path, *, volume: int | None = None) -> Volume:
    """Read one 3-D volume; `volume` counts from 0 along the fourth axis. Raises UnreadableInputError."""
    sitk = require("SimpleITK")

    checks.check_file(path)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # else C++ warnings reach stderr beside our one line
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with _quiet_stderr():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise UnreadableInputError(f"{path}: {_fault(error)}", hint="copy or export it again") from error
    shape = tuple(int(length) for length in reader.GetSize())
    index = _check(path, reader, shape, volume)
    affine = _affine(path, reader, shape)
    if index is not None:
        reader.SetExtractIndex([0, 0, 0, *(index if length > 1 else 0 for length in shape[3:])])
        reader.SetExtractSize([*shape[:3], *(0 for _ in shape[3:])])  # X Y Z T -> X Y Z
    try:
        with _quiet_stderr():
            image = reader.Execute()
    except RuntimeError as error:
        raise UnreadableInputError(f"{path}: {_fault(error)}", hint="copy or export it again") from error
    array = sitk.GetArrayFromImage(image).transpose()  # Z Y X -> X Y Z
    kind: VolumeFormat = "nrrd" if path.suffix.lower() in (".nrrd", ".nhdr") else "metaimage"
    warnings = _warnings(kind, reader)
    meta = VolumeMeta(
        source=path, format=kind, shape=array.shape, affine=affine, dtype=array.dtype, warnings=warnings
    )  # fmt: skip
    return Volume(array, meta)


def _check(path: Path, reader: Any, shape: tuple[int, ...], volume: int | None) -> int | None:
    sitk = require("SimpleITK")

    if reader.GetNumberOfComponents() > 1:
        raise UnreadableInputError(
            f"{path}: {reader.GetNumberOfComponents()} values a voxel (colour or a vector image)",
            hint="give one channel as its own file",
        )
    name = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if "complex" in name:
        raise UnreadableInputError(f"{path}: complex voxels", hint="give the magnitude image")
    checks.check_shape(path, shape)
    itemsize = 8 if "64" in name else 4 if "32" in name else 2 if "16" in name else 1
    declared = SMALLEST_HEADER + itemsize * int(np.prod(shape, dtype=object))
    if path.suffix.lower() not in DETACHED:
        checks.check_holdable(path, declared, path.stat().st_size, compressed=_packed(path))
    index = checks.choose_volume(path, shape, volume)
    checks.check_memory(path, shape[:3], itemsize)
    return index


def _affine(path: Path, reader: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """RAS+ mm; SimpleITK gives direction cosines (row-major), spacing and origin in LPS mm."""
    dim = len(shape)
    direction = np.array(reader.GetDirection(), dtype=np.float64).reshape(dim, dim)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = direction * np.array(reader.GetSpacing())[:3]
    affine[:3, 3] = np.array(reader.GetOrigin())[:3]
    checks.check_affine(path, affine, shape)
    return lps_to_ras(affine)


def _warnings(kind: VolumeFormat, reader: Any) -> tuple[str, ...]:
    if kind == "nrrd" and not (reader.HasMetaDataKey("NRRD_space") and reader.GetMetaData("NRRD_space")):
        return ("the NRRD header names no space: read as left-posterior-superior, left and right are a guess",)
    return ()


def _packed(path: Path) -> bool:
    """Whether the text header announces compressed voxels."""
    with path.open("rb") as file:
        head = file.read(65536).lower()
    if path.suffix.lower() == ".nrrd":
        return b"encoding: raw" not in head
    return b"compresseddata = true" in head


def _fault(error: RuntimeError) -> str:
    """The telling line of an ITK exception, which otherwise names C++ source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("Unable to determine ImageIO reader" in line for line in lines):
        return "neither NRRD nor MetaImage inside"
    if any("MetaImage cannot be read" in line or "Reason: " in line for line in lines):
        return "the header is damaged, or the voxels are missing or cut short"
    told = [line for line in lines if not line.startswith(("sitk::", "Exception thrown", "itk::", "/"))]
    return f"not readable: {(told or lines or ['unknown fault'])[-1][:200]}"


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """MetaIO writes its complaints straight to file descriptor 2; the exception says the same."""
    kept = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)
