"""Whole heads as clinics scan them, with their brain masks: thick oblique slices of a known contrast from a label map.

The training generator (`brain.py`) draws contrasts at random; here brightness by tissue is that of a T1, of a FLAIR
with the fat suppressed and of one without (rough values read off such scans), to see what a mask takes for brain.
Label maps number as in `brain.py`; 500 and more are outside of the brain. Lengths in mm, brightness 0..255.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.brain import FIRST_OUTSIDE, FLUID

Floats = NDArray[np.float32]

TISSUES: dict[str, tuple[int, ...]] = {
    "white": (2, 41, 7, 46, 85), "grey": (3, 42, 11, 50, 26, 58, 17, 53, 18, 54, 25, 57), "cerebellum": (8, 47),
    "deep": (10, 49, 13, 52, 28, 60, 12, 51, 30, 62), "stem": (16,), "fluid": (*FLUID, 43, 44, 163, 164),
    "artery": (502,), "eye": (506,), "muscle": (507,), "nerve": (508,), "mucosa": (509,), "skin": (511,),
    "cord": (512,), "vein": (514,), "bone": (515,), "marrow": (516, 530), "air": (0,),
}  # fmt: skip
CONTRASTS: dict[str, tuple[int, ...]] = {  # in the order of TISSUES
    "t1": (150, 105, 105, 130, 142, 28, 30, 30, 75, 110, 115, 200, 140, 45, 18, 175, 4),
    "flair": (150, 185, 165, 155, 150, 25, 20, 18, 55, 120, 190, 70, 140, 90, 12, 45, 4),
    "flair-fat": (110, 135, 125, 115, 112, 22, 20, 18, 55, 90, 140, 190, 110, 60, 12, 130, 4),
}
FIELD = (205.0, 230.0, 150.0)  # of view
TILT = 15.0  # degrees about the left-right axis, at most
CLOSING = 3.0  # sulci up to twice as wide belong to the mask
NODES = 6  # of the smooth deformation along each axis
LOW = -6.0  # the field of view lies lower than the brain's centre


def clinical_head(
    labels: NDArray[Any], contrast: str, spacing: tuple[float, float, float], seed: int
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.float64]]:
    """Scan X Y Z, brain mask X Y Z and affine 4 x 4 from a label map of 1 mm voxels turned to RAS.

    The last of `spacing` is the slice's thickness: a voxel is the mean over it. `contrast` is a key of CONTRASTS.
    """
    rng = np.random.default_rng(seed)
    brain = _brain(labels)
    image = _painted(labels, contrast, rng)
    mask = _closed(brain)
    size = np.ceil(np.array(FIELD) / spacing).astype(int)
    turn, scales, places = _places(size, np.array(spacing), brain, rng)
    scan, share = np.zeros(size, np.float32), np.zeros(size, np.float32)
    number = max(1, round(spacing[2]))
    for part in range(number):  # of the slice's thickness
        shift = turn[:, 2] * scales[2] * spacing[2] * ((part + 0.5) / number - 0.5)
        scan += _looked_up(image, places + shift[:, None], size) / number
        share += _looked_up(mask.astype(np.float32), places + shift[:, None], size) / number
    scan = _with_bias_and_noise(scan, rng)
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((size - 1) / 2)
    return scan, share > 0.5, affine


def _brain(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Everything labelled in the brain but the fluid around it, holes filled."""
    from scipy import ndimage

    found = (labels > 0) & (labels < FIRST_OUTSIDE) & (labels != 24)
    return np.asarray(ndimage.binary_fill_holes(found), np.bool_)


def _closed(brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    wide = np.pad(brain, 6)
    near = ndimage.binary_fill_holes(ndimage.distance_transform_edt(~wide) <= CLOSING)
    closed = (ndimage.distance_transform_edt(near) > CLOSING) | wide
    return np.asarray(closed[6:-6, 6:-6, 6:-6], np.bool_)


def _painted(labels: NDArray[Any], contrast: str, rng: np.random.Generator) -> Floats:
    from scipy import ndimage

    means = np.zeros(600)
    for numbers, mean in zip(TISSUES.values(), CONTRASTS[contrast], strict=True):
        means[list(numbers)] = mean
    texture = ndimage.gaussian_filter(rng.standard_normal(labels.shape), 0.7)
    return np.asarray(means[labels] + texture * np.where(labels > 0, 16.2, 3.6), np.float32)


def _places(
    size: NDArray[np.intp], spacing: NDArray[np.float64], brain: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rotation 3 x 3, scaling 3, and the index 3 N in the label map of every voxel of the scan."""
    from scipy import ndimage

    centre: Any = ndimage.center_of_mass(brain)
    angle = np.deg2rad(rng.uniform(-TILT, TILT))
    scales = rng.uniform(0.93, 1.07, 3)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    nodes = rng.standard_normal((3, NODES, NODES, NODES)) * 3
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(size, spacing, strict=True)]
    mesh = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
    at = (mesh / (size * spacing)[:, None] + 0.5) * (NODES - 1)
    smooth = np.stack([ndimage.map_coordinates(node, at, order=3, mode="nearest") for node in nodes])
    low = mesh + np.array([[0], [0], [LOW]])
    return turn, scales, (turn * scales) @ low + np.array(centre)[:, None] + smooth


def _looked_up(volume: Floats, places: NDArray[np.float64], size: NDArray[np.intp]) -> Floats:
    from scipy import ndimage

    found: Any = ndimage.map_coordinates(volume, places, order=1)
    return np.asarray(found, np.float32).reshape(size)


def _with_bias_and_noise(scan: Floats, rng: np.random.Generator) -> Floats:
    from scipy import ndimage

    field = ndimage.zoom(rng.standard_normal((4, 4, 4)), np.array(scan.shape) / 4, order=3)
    noisy = scan * np.exp(0.25 * field) + 4 * rng.standard_normal(scan.shape)
    return np.maximum(noisy, 0).astype(np.float32)
