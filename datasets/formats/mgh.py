"""FreeSurfer volumes (.mgz, .mgh) through nibabel."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.datasets.formats import volume_checks as checks
from vitapps.datasets.formats.nibabel_package import nibabel_package
from vitapps.datasets.formats.volume_types import Volume, VolumeMeta
from vitapps.errors import UnreadableInputError, VitappsError

HEADER_BYTES = 284


def read_mgh(path: Path, *, volume: int | None = None) -> Volume:
    """Read one 3-D volume; `volume` counts from 0 along the fourth axis. Raises UnreadableInputError."""
    nibabel = nibabel_package()

    checks.check_file(path)
    try:
        header = _header(path)
        shape = tuple(int(length) for length in header.get_data_shape())
        dtype = header.get_data_dtype()
        checks.check_shape(path, shape)
        packed = path.name.lower().endswith(("gz", "mgz"))
        declared = HEADER_BYTES + dtype.itemsize * int(np.prod(shape, dtype=object))
        checks.check_holdable(path, declared, path.stat().st_size, compressed=packed)
        index = checks.choose_volume(path, shape, volume)
        checks.check_memory(path, shape[:3], dtype.itemsize)
        affine = np.array(header.get_affine(), dtype=np.float64)
        checks.check_affine(path, affine, shape)
        image: Any = nibabel.load(path, mmap=False)
        array = np.asarray(image.dataobj if index is None else image.dataobj[..., index])  # X Y Z T -> X Y Z
    except VitappsError:
        raise
    except (OSError, EOFError, zlib.error, ValueError, KeyError, nibabel.filebasedimages.ImageFileError) as error:
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise UnreadableInputError(f"{path}: damaged MGH/MGZ: {line}", hint="copy or export it again") from error
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    warnings = () if int(header["goodRASFlag"]) else ("the header has no orientation: left and right are a guess",)
    meta = VolumeMeta(
        source=path, format="mgh", shape=native.shape, affine=affine, dtype=dtype, header=header, warnings=warnings
    )
    return Volume(native, meta)


def _header(path: Path) -> Any:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        return nibabel_package().freesurfer.mghformat.MGHHeader.from_fileobj(file)
