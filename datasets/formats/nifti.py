"""NIfTI-1 and NIfTI-2 volumes (.nii, .nii.gz, .nii.bz2, .hdr/.img) through nibabel.

Compression is told from the first bytes, not from the name. The header is checked before any voxel is loaded.
"""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats import volume_checks as checks
from vitapps.datasets.formats.nibabel_package import nibabel_package
from vitapps.datasets.formats.volume_types import Volume, VolumeMeta
from vitapps.errors import OutOfMemoryError, UnreadableInputError, VitappsError

UNIT_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
LARGEST_OFFSET = 1 << 24  # bytes of header extensions; more is a damaged vox_offset
TRAILER = 1 << 24  # bytes read after the voxels to reach the checksum of a compressed file
MOST_DIMENSIONS = 7
DAMAGED = (OSError, EOFError, zlib.error, ValueError, OverflowError, TypeError, KeyError, IndexError)


def read_nifti(path: Path, *, volume: int | None = None) -> Volume:
    """Read one 3-D volume; `volume` counts from 0 along the fourth axis. Raises UnreadableInputError."""
    header_path, data_path = _pair(path)
    for file in (path, header_path, data_path):
        if file != path and not file.exists():
            raise UnreadableInputError(f"{path}: its other half {file.name} is missing", hint="put both side by side")
        checks.check_file(file)
    try:
        with ExitStack() as stack:
            header_file = stack.enter_context(_open(header_path))
            header = _read_header(path, header_file)
            data_file = header_file if data_path == header_path else stack.enter_context(_open(data_path))
            return _read(path, header, header_file, data_file, data_path, volume)
    except VitappsError:
        raise
    except MemoryError:
        raise OutOfMemoryError(f"{path}: does not fit in memory", hint="crop or down-sample it first") from None
    except DAMAGED as error:
        raise UnreadableInputError(f"{path}: damaged NIfTI: {_line(error)}", hint="copy or export it again") from error


def _read(
    path: Path, header: Any, header_file: IO[bytes], data_file: IO[bytes], data_path: Path, volume: int | None
) -> Volume:
    nibabel = nibabel_package()

    shape, dtype = _declared(path, header)
    offset = int(header["vox_offset"]) if header_file is data_file else 0
    index = _check(path, shape, dtype, offset, data_path, volume)
    affine, warnings = _geometry(path, header)
    checks.check_affine(path, affine, shape)
    kind = nibabel.Nifti2Image if header["sizeof_hdr"] == 540 else nibabel.Nifti1Image
    if header_file is not data_file:
        kind = nibabel.Nifti2Pair if kind is nibabel.Nifti2Image else nibabel.Nifti1Pair
    header_file.seek(0)
    files = {"header": nibabel.FileHolder(fileobj=header_file), "image": nibabel.FileHolder(fileobj=data_file)}
    image = kind.from_file_map(files, mmap=False)
    array = _load(image, index)
    _reach_checksum(data_file)
    meta = VolumeMeta(
        source=path, format="nifti", shape=array.shape, affine=affine, dtype=dtype, header=image.header,
        warnings=tuple(warnings),
    )  # fmt: skip
    return Volume(array, meta)


def _load(image: Any, index: int | None) -> NDArray[Any]:
    """Voxels X Y Z, rescaled to float32 where the header has a slope, else as stored."""
    stored = image.header.get_data_dtype()
    if index is None:
        array = np.asarray(image.dataobj)
    else:
        axis = next((i for i in range(3, len(image.shape)) if image.shape[i] > 1), 3)
        array = np.asarray(image.dataobj[tuple(
            slice(None) if i < 3 else (index if i == axis else 0) for i in range(len(image.shape))
        )])  # X Y Z T -> X Y Z  # fmt: skip
    return array if array.dtype == stored else array.astype(np.float32)


def _check(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int, data_path: Path, volume: int | None
) -> int | None:
    checks.check_dtype(path, dtype)
    checks.check_shape(path, shape)
    if not 0 <= offset <= LARGEST_OFFSET:
        raise UnreadableInputError(f"{path}: vox_offset is {offset}, a damaged header", hint="copy or export it again")
    total = offset + dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
    packing = _packing(data_path)
    if packing != "bz2":  # bzip2 has no useful bound
        checks.check_holdable(path, total, data_path.stat().st_size, compressed=packing == "gzip")
    index = checks.choose_volume(path, shape, volume)
    checks.check_memory(path, shape[:3], dtype.itemsize)
    return index


def _read_header(path: Path, file: IO[bytes]) -> Any:
    """The header without its extensions, parsed by nibabel."""
    nibabel = nibabel_package()

    block = file.read(540)
    size = {block[:4]} & {(348).to_bytes(4, "little"), (348).to_bytes(4, "big")}
    kind = nibabel.Nifti1Header if size else nibabel.Nifti2Header
    length = 348 if size else 540
    if len(block) < length:
        raise UnreadableInputError(f"{path}: {len(block)} bytes, too short for a NIfTI header", hint="copy it again")
    header = kind(block[:length], check=False)
    magic = bytes(header["magic"].tobytes()).rstrip(b"\0")[:3]
    if magic not in (b"n+1", b"ni1", b"n+2", b"ni2"):
        raise UnreadableInputError(
            f"{path}: not NIfTI inside (no magic string)",
            hint="Analyze 7.5 does not say where left is: convert it to NIfTI with a tool that is told its orientation",
        )
    return header


def _declared(path: Path, header: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the stored voxels."""
    if not 1 <= int(header["dim"][0]) <= MOST_DIMENSIONS:
        raise UnreadableInputError(f"{path}: a header of {int(header['dim'][0])} dimensions", hint="copy it again")
    try:
        dtype = header.get_data_dtype()
    except KeyError:
        raise UnreadableInputError(
            f"{path}: the unknown voxel type {int(header['datatype'])}", hint="convert it to integers or floats first"
        ) from None
    return tuple(int(length) for length in header.get_data_shape()), dtype


def _geometry(path: Path, header: Any) -> tuple[NDArray[np.float64], list[str]]:
    """Affine in RAS+ mm, and what is doubtful about it."""
    warnings: list[str] = []
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    if sform_code == 0 and qform_code == 0:
        warnings.append(
            "the header has no orientation (sform and qform codes are 0): its axes are taken as left, front, up; "
            "left and right, or front and back, may be swapped"
        )
    if sform_code and qform_code:
        qform = header.get_qform()
        if not np.allclose(qform, affine, atol=0.5):
            warnings.append("sform and qform of the header disagree by more than 0.5 mm: the sform is used")
    unit = header.get_xyzt_units()[0]
    affine[:3] *= UNIT_MM[unit]
    return affine, warnings


def _pair(path: Path) -> tuple[Path, Path]:
    """Header file and data file of a name."""
    name = path.name
    for packed in ("", ".gz", ".bz2"):
        if name.endswith((f".hdr{packed}", f".img{packed}")):
            stem = name[: -len(f".hdr{packed}")]
            return path.with_name(f"{stem}.hdr{packed}"), path.with_name(f"{stem}.img{packed}")
    return path, path


def _packing(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(3)
    return "gzip" if start[:2] == b"\x1f\x8b" else "bz2" if start == b"BZh" else ""


def _open(path: Path) -> IO[bytes]:
    packing = _packing(path)
    if packing == "gzip":
        return io.BufferedReader(gzip.GzipFile(path, "rb"), 1 << 20)
    return bz2.open(path, "rb") if packing == "bz2" else path.open("rb")


def _reach_checksum(file: IO[bytes]) -> None:
    """A compressed file is verified only by reading to its end."""
    if isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO):
        return
    left = TRAILER
    while left > 0 and (block := file.read(1 << 20)):
        left -= len(block)


def _line(error: BaseException) -> str:
    """First line of a library's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
