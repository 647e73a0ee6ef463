"""One reader for every volume format, one look-up from a name to its reader. Headers are checked before voxels load."""

from __future__ import annotations

import os
from pathlib import Path

from vitapps.datasets.formats import volume_checks as checks
from vitapps.datasets.formats.volume_types import Volume, VolumeMeta
from vitapps.errors import UnreadableInputError

__all__ = ["SUFFIXES", "Volume", "VolumeMeta", "read_volume", "volume_stem"]

NIFTI = (".nii", ".nii.gz", ".nii.bz2", ".hdr", ".img", ".hdr.gz", ".img.gz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
MGH = (".mgz", ".mgh")
DICOM = (".dcm", ".ima", ".zip")
SUFFIXES = (*NIFTI, *ITK, *MGH, *DICOM)


def read_volume(
    path: Path | str, *, series: str | None = None, volume: int | None = None, labels: bool = False
) -> Volume:
    """Read a 3-D volume as X Y Z with its affine in RAS+ mm.

    `series` chooses a DICOM series by UID, `volume` one of several in a file (counted from 0). `labels` accepts a
    volume of one value, which for an image is a fault. Raises UnreadableInputError or OutOfMemoryError.
    """
    path = Path(path)
    try:
        read = _read(path, series, volume)
    except OSError as error:  # a name that the file system refuses, a folder that may not be listed
        raise UnreadableInputError(
            f"{path}: {error.strerror or error}", hint="check the name and its rights"
        ) from error
    if not labels:
        checks.check_values(path, read.array)
    return read


def _read(path: Path, series: str | None, volume: int | None) -> Volume:
    if path.is_dir():
        from vitapps.datasets.formats.dicom import read_dicom

        return read_dicom(path, series=series, volume=volume)
    checks.check_file(path)
    name = path.name.lower()
    if name.endswith(NIFTI):
        from vitapps.datasets.formats.nifti import read_nifti

        return read_nifti(path, volume=volume)
    if name.endswith(ITK):
        from vitapps.datasets.formats.itk_image import read_itk_image

        return read_itk_image(path, volume=volume)
    if name.endswith(MGH):
        from vitapps.datasets.formats.mgh import read_mgh

        return read_mgh(path, volume=volume)
    from vitapps.datasets.formats.dicom import read_dicom
    from vitapps.datasets.formats.dicom_series import is_dicom

    if name.endswith(DICOM) or is_dicom(path):
        return read_dicom(path, series=series, volume=volume)
    raise UnreadableInputError(
        f"{path}: not a volume format that is known here", hint=f"give one of {' '.join(SUFFIXES)} or a DICOM folder"
    )


def volume_stem(path: Path) -> str:
    """`scan.nii.gz` -> `scan`: the name without the suffixes of a volume format; a folder keeps its name."""
    if path.is_dir():
        return Path(os.path.realpath(path)).name
    name = path.name
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
