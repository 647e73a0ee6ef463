"""Label maps as NIfTI, with the geometry fields of the input's header kept bit for bit where that was NIfTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.nibabel_package import nibabel_package
from vitapps.datasets.formats.volume_types import VolumeMeta

SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
LARGEST_NIFTI1 = 32767  # dim is int16


def write_nifti_labels(path: Path, labels: NDArray[Any], meta: VolumeMeta, source: str) -> None:
    """Write X Y Z integers; `.gz` in the name compresses. sform, qform, their codes and units are those of the scan."""
    nibabel = nibabel_package()

    header = _header(labels, meta)
    header.set_data_dtype(labels.dtype)
    header.set_intent("label")
    header["descrip"] = source.encode("ascii", "replace")[:79]
    header["cal_min"], header["cal_max"] = 0, int(labels.max(initial=0))
    kind = nibabel.Nifti2Image if header["sizeof_hdr"] == 540 else nibabel.Nifti1Image
    nibabel.save(kind(labels, None, header), path)


def _header(labels: NDArray[Any], meta: VolumeMeta) -> Any:
    nibabel = nibabel_package()

    if meta.format == "nifti":
        two = int(meta.header["sizeof_hdr"]) == 540
        kind = nibabel.Nifti2Header if two else nibabel.Nifti1Header
        header = kind(meta.header.binaryblock, endianness=meta.header.endianness, check=False)
        header["magic"] = b"n+2" if two else b"n+1"  # an .hdr/.img pair becomes one file
        header["vox_offset"] = 0
        header.set_slope_inter(1, 0)
        zooms = header.get_zooms()[:3]
        header.set_data_shape(labels.shape)  # one volume of a 4-D scan is 3-D
        header.set_zooms(zooms)
        return header
    large = max(labels.shape) > LARGEST_NIFTI1
    header = nibabel.Nifti2Header() if large else nibabel.Nifti1Header()
    header.set_data_shape(labels.shape)
    header.set_xyzt_units("mm")
    header.set_sform(meta.affine, SCANNER)
    header.set_qform(meta.affine, _qform_code(meta.affine))
    return header


def _qform_code(affine: NDArray[np.float64]) -> int:
    """A qform is a rotation: for a sheared grid (gantry tilt) it is only an approximation, so it is marked unknown."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return SCANNER if np.allclose(axes.T @ axes, np.eye(3), atol=1e-4) else 0
