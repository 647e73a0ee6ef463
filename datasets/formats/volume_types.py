"""What every volume reader returns and every label-map writer needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

VolumeFormat = Literal["nifti", "dicom", "nrrd", "metaimage", "mgh"]


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeMeta:
    """Where the voxels of a volume lie and what it was read from.

    `affine` maps voxel indices X Y Z (voxel centres, counted from 0) to RAS+ millimetres; it may be oblique or sheared
    (gantry tilt). `header` is the native header: a nibabel header, or the list of pydicom data sets in slice order.
    `warnings` are faults of the header that did not prevent reading.
    """

    source: Path
    format: VolumeFormat
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    dtype: np.dtype[Any]
    header: Any = None
    warnings: tuple[str, ...] = ()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along X, Y and Z in mm."""
        x, y, z = (float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))
        return x, y, z

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL, shear included."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, slots=True)
class Volume:
    """`array` is X Y Z in the stored order; intensities are rescaled (scl_slope, RescaleSlope), the dtype is the
    stored one where no rescaling was needed, else float32.
    """

    array: NDArray[Any]
    meta: VolumeMeta

    def float32(self) -> NDArray[np.float32]:
        """The intensities as float32; no copy where they are that already."""
        return np.asarray(self.array, dtype=np.float32)


def lps_to_ras(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """World axes of ITK and DICOM (left, posterior, superior) to those of NIfTI, and back: x and y change sign."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
