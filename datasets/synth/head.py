"""A synthetic head for the demo and tests: nested ellipsoids with T1-like brightness. No person was scanned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHAPE = (88, 104, 88)  # cells of 2 mm, right-anterior-superior
SPACING = 2.0
# half axes in mm, centre in mm, brightness: each is painted over the ones before it
ELLIPSOIDS = (
    ((78, 96, 82), (0, 0, 0), 90),  # skin
    ((73, 91, 77), (0, 0, 0), 20),  # skull
    ((68, 85, 71), (0, 0, 4), 35),  # fluid
    ((66, 82, 68), (0, 0, 5), 110),  # cortex
    ((60, 76, 62), (0, 0, 5), 160),  # white matter
    ((9, 32, 9), (-11, 0, 14), 35),  # lateral ventricles
    ((9, 32, 9), (11, 0, 14), 35),
    ((11, 15, 11), (-12, -8, 2), 130),  # thalami
    ((11, 15, 11), (12, -8, 2), 130),
    ((38, 25, 20), (0, -52, -40), 115),  # cerebellum
    ((12, 13, 32), (0, -28, -42), 145),  # brain-stem
)


def sample_volume(seed: int = 0) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """The volume X Y Z (RAS) and its affine to mm."""
    axes = [(np.arange(n) - (n - 1) / 2) * SPACING for n in SHAPE]
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"))  # 3 X Y Z
    image = np.zeros(SHAPE, np.float32)
    for half, centre, brightness in ELLIPSOIDS:
        offset = (mesh - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(half, (3, 1, 1, 1))
        image[(offset**2).sum(0) < 1] = brightness
    image += np.random.default_rng(seed).normal(0, 4, SHAPE).astype(np.float32)
    affine = np.diag([SPACING] * 3 + [1.0])
    affine[:3, 3] = [axis[0] for axis in axes]
    return np.clip(image, 0, 255).astype(np.int16), affine


def write_sample(path: Path) -> None:
    """Write the volume as NIfTI."""
    import nibabel

    image, affine = sample_volume()
    nibabel.save(nibabel.Nifti1Image(image, affine), path)
