"""Faults of a volume that are found from its header, before any voxel is loaded, and a few that need the voxels.

Each check raises UnreadableInputError (or OutOfMemoryError) with the file, the fault and the next step.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import OutOfMemoryError, UnreadableInputError

DEFLATE_RATIO = 1032  # the most that zlib can expand one byte (https://zlib.net/zlib_tech.html)
FIELD_OF_VIEW_MM = 4000.0  # longer than any whole-body scan
SMALLEST_SPACING_MM = 1e-3
GIB = 1 << 30


def memory_limit() -> int:
    """Bytes that one volume may take once loaded: half of the machine's memory."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return 4 * GIB
    return max(GIB, total // 2)


def check_file(path: Path) -> None:
    """The file is there, is a file and is not empty."""
    if not path.exists():
        raise UnreadableInputError(f"{path}: no such file or folder", hint="check the spelling")
    if not path.is_file():
        raise UnreadableInputError(f"{path}: not a regular file", hint="give an image file or a DICOM folder")
    if not os.access(path, os.R_OK):
        raise UnreadableInputError(f"{path}: no permission to read it", hint=f"chmod u+r {path}")
    if path.stat().st_size == 0:
        raise UnreadableInputError(f"{path}: the file is empty (0 bytes)", hint="copy or export it again")


def check_memory(path: Path, shape: tuple[int, ...], itemsize: int) -> None:
    """The declared voxels fit in memory, as stored and as float32."""
    declared = _product(shape) * max(itemsize, 4)
    if declared > memory_limit():
        size = " x ".join(str(length) for length in shape)
        raise OutOfMemoryError(
            f"{path}: the header declares {size} voxels, {declared / GIB:.1f} GiB; "
            f"the limit is {memory_limit() / GIB:.1f} GiB, half of this machine's memory",
            hint="crop or down-sample it first, or check the header",
        )


def check_holdable(path: Path, declared: int, stored: int, *, compressed: bool) -> None:
    """A file of `stored` bytes can hold the `declared` bytes of header and voxels."""
    most = stored * DEFLATE_RATIO if compressed else stored
    if declared > most:
        raise UnreadableInputError(
            f"{path}: the header declares {declared} bytes, the file has {stored}"
            + (" compressed" if compressed else "")
            + ": truncated, or a wrong header",
            hint="copy or export it again",
        )


def check_shape(path: Path, shape: tuple[int, ...]) -> None:
    """Three axes of at least 2 voxels; a single slice is an image, not a volume."""
    if any(length < 1 for length in shape):
        raise UnreadableInputError(f"{path}: the header declares the size {shape}", hint="copy or export it again")
    if len(shape) < 3 or min(shape[:3]) < 2:
        size = " x ".join(str(length) for length in shape)
        raise UnreadableInputError(f"{path}: a 2-D image ({size}), not a volume", hint="give a whole 3-D scan")


def check_affine(path: Path, affine: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    """The affine is finite, invertible, and spans a field of view that a scanner could have."""
    if not np.isfinite(affine).all():
        raise UnreadableInputError(f"{path}: the affine has non-finite entries", hint="repair the header's geometry")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    shown = " x ".join(f"{length:.4g}" for length in spacing)
    if spacing.min() < SMALLEST_SPACING_MM:
        raise UnreadableInputError(f"{path}: a voxel size of {shown} mm", hint="repair the header's geometry")
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise UnreadableInputError(
            f"{path}: the affine is singular, two axes point the same way", hint="repair the header's geometry"
        )
    extent = spacing * np.array(shape[:3])
    if extent.max() > FIELD_OF_VIEW_MM:
        raise UnreadableInputError(
            f"{path}: a voxel size of {shown} mm makes the scan {extent.max() / 1000:.1f} m long",
            hint="repair the header's geometry or its units",
        )


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """One real number a voxel."""
    if dtype.fields is not None:
        raise UnreadableInputError(f"{path}: colour (RGB) voxels, not intensities", hint="convert it to grey first")
    if dtype.kind == "c":
        raise UnreadableInputError(f"{path}: complex voxels", hint="give the magnitude image")
    if dtype.kind not in "iufb":
        raise UnreadableInputError(f"{path}: voxels of type {dtype}", hint="convert it to integers or floats first")


def check_values(path: Path, array: NDArray[Any]) -> None:
    """The voxels hold an image: something finite, and not one value everywhere."""
    low, high = finite_range(array)
    if low > high:
        raise UnreadableInputError(f"{path}: no voxel has a finite value (NaN or infinite)", hint="export it again")
    if low == high:
        raise UnreadableInputError(f"{path}: every voxel has the value {low:g}", hint="give a scan, not an empty image")


def finite_range(array: NDArray[Any]) -> tuple[float, float]:
    """Smallest and largest finite value; (inf, -inf) where there is none. Works slice by slice."""
    if array.dtype.kind != "f":
        return float(array.min()), float(array.max())
    low, high = np.inf, -np.inf
    for index in range(array.shape[-1]):
        part = array[..., index]
        part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def choose_volume(path: Path, shape: tuple[int, ...], volume: int | None) -> int | None:
    """Index on the one long axis after the third, None for a plain 3-D file.

    Raises UnreadableInputError when there are several volumes and `volume` does not say which (counted from 0).
    """
    extra = [length for length in shape[3:] if length > 1]
    if len(extra) > 1:
        raise UnreadableInputError(f"{path}: {len(shape)}-D data {shape}", hint="split it into 3-D files first")
    number = extra[0] if extra else 1
    if volume is None and number == 1:
        return None if len(shape) == 3 else 0
    if volume is None:
        raise UnreadableInputError(
            f"{path}: {number} volumes in one file {shape}", hint=f"choose one with --volume 0 .. {number - 1}"
        )
    if not 0 <= volume < number:
        raise UnreadableInputError(
            f"{path}: there is no volume {volume}, it has {number}", hint=f"--volume 0 .. {number - 1}"
        )
    return None if len(shape) == 3 else volume


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= int(length)
    return total
