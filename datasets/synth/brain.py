"""Synthetic head scans of random contrast and resolution from label maps: the SynthSeg recipe, without any image.

Billot et al. 2023 (SynthSeg, Medical Image Analysis 86, arXiv:2107.09559), sections 3.1 to 3.4: a label map is deformed
(affine and smooth non-linear), every tissue class draws a random mean and spread, a bias field and a gamma change the
intensities, and a random slice direction and thickness blurs the result. A network that sees only such volumes has no
contrast to over-fit to.

Deviations from the paper, made so that one CPU core can generate while another trains:
- The image is formed at 2x2x2 finer sampling than the training grid from the class means and averaged (that is the
  partial volume); noise is drawn on the training grid.
- The smooth deformation is a displacement field on a coarse grid, not an integrated velocity field.
- Targets are soft: the share of each label in the voxel, counted over the same 2x2x2 samples.
- Two thirds of the samples draw one mean each for white matter, grey matter and fluid and let structures vary around
  them (deep nuclei anywhere between grey and white), as in real sequences; the others draw every class freely.
- Everything outside the brain is removed from some samples, in addition to its random contrast, because skull-stripped
  scans are common input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# FreeSurfer numbers -> the number that the model predicts; everything absent here is background (SynthSeg 2.0 table)
TARGETS: dict[int, int] = {
    2: 2, 3: 3, 4: 4, 5: 5, 7: 7, 8: 8, 10: 10, 11: 11, 12: 12, 13: 13, 14: 14, 15: 15, 16: 16, 17: 17, 18: 18,
    24: 24, 25: 2, 26: 26, 28: 28, 41: 41, 42: 42, 43: 43, 44: 44, 46: 46, 47: 47, 49: 49, 50: 50, 51: 51, 52: 52,
    53: 53, 54: 54, 57: 41, 58: 58, 60: 60, 136: 4, 137: 5, 163: 43, 164: 44,
}  # fmt: skip
# left -> right partner, for mirrored samples; labels absent here lie on the midline
PARTNERS: dict[int, int] = {
    2: 41, 3: 42, 4: 43, 5: 44, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 25: 57, 26: 58, 28: 60,
    30: 62, 136: 163, 137: 164,
}  # fmt: skip
LABELS: tuple[int, ...] = (0, *sorted(set(TARGETS.values())))  # class index -> FreeSurfer number
# FreeSurfer numbers by tissue, left side and midline; MIXED lies between grey and white matter in real sequences
WHITE, MIXED, GREY, FLUID = (2, 7, 85), (10, 13, 16, 28), (3, 8, 11, 12, 17, 18, 26), (4, 5, 14, 15, 24, 72, 136, 137)
PLACE_UNIT = 100.0  # mm a unit of the place channels
FIRST_OUTSIDE = 500  # label maps number skull, skin, eyes and neck from here


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthConfig:
    """Ranges of the generator; angles in degrees, lengths in mm, intensities in 0..255 before normalisation.

    `spacing` of the training grid; `crop` D H W voxels.
    """

    spacing: float = 2.0
    crop: tuple[int, int, int] = (64, 80, 64)
    rotation: float = 15.0
    scaling: float = 0.15
    shear: float = 0.015
    displacement: float = 5.0  # standard deviation of the coarse displacement field at its strongest
    displacement_grid: float = 36.0  # distance of its nodes
    means: tuple[float, float] = (10.0, 240.0)
    spreads: tuple[float, float] = (2.0, 20.0)
    bias: float = 0.6
    gamma: float = 0.4
    thickness: float = 8.0  # thickest slice
    grouped: float = 0.65  # probability that structures of one tissue look alike
    stripped: float = 0.35  # probability that nothing but the brain is left
    center_jitter: float = 32.0
    place_error: float = 5.0  # of the centre that the place channels are told, standard deviation
    place_unknown: float = 0.2  # probability that the place channels are zero


def synth_config(spacing: float) -> SynthConfig:
    """The configuration of a training grid; crops of about 136 x 164 x 136 mm in whole patches of 8 voxels."""
    depth, height, width = (max(2, round(extent / spacing / 8)) * 8 for extent in (136.0, 164.0, 136.0))
    return SynthConfig(spacing=spacing, crop=(depth, height, width))


@dataclass(frozen=True, slots=True)
class LabelMaps:
    """Label maps on 1 mm RAS grids as class codes; `codes[i]` is the FreeSurfer number of code i."""

    volumes: tuple[Tensor, ...]  # each uint8, X Y Z
    codes: tuple[int, ...]
    names: tuple[str, ...]


def load_label_maps(folder: Path) -> LabelMaps:
    """Read every `*.nii*` label map of a folder, in name order, turned to RAS."""
    import nibabel

    files = sorted(folder.glob("*.nii*"))
    arrays = []
    for file in files:
        image = nibabel.as_closest_canonical(nibabel.load(file))
        arrays.append(np.asanyarray(image.dataobj).astype(np.int64))
    codes = sorted({int(code) for array in arrays for code in np.unique(array)})
    lookup = np.zeros(max(codes) + 1, np.uint8)
    lookup[codes] = np.arange(len(codes))
    return LabelMaps(
        tuple(torch.from_numpy(np.ascontiguousarray(lookup[array])) for array in arrays),
        tuple(codes),
        tuple(file.name for file in files),
    )


class BrainSynth:
    """`sample(seed) -> (input 4 D H W, target K D H W)`: the same seed gives the same sample.

    Channel 0 is the image in 0..1, the others the distance of each voxel from the centre of the brain (all labels but
    background) along D, H, W in units of 100 mm, or zero.
    """

    def __init__(self, maps: LabelMaps, config: SynthConfig) -> None:
        self.maps = maps
        self.config = config
        index = {value: i for i, value in enumerate(LABELS)}
        mirror = PARTNERS | {right: left for left, right in PARTNERS.items()}
        targets = [TARGETS.get(code, 0) for code in maps.codes]
        self._target = torch.tensor([index[value] for value in targets])
        self._target_mirrored = torch.tensor([index[mirror.get(value, value)] for value in targets])
        position = {code: i for i, code in enumerate(maps.codes)}
        # both sides of a structure share one intensity class, as in the paper
        self._tissue = torch.tensor([position.get(mirror.get(c, c), i) if c in set(PARTNERS.values()) else i
                                     for i, c in enumerate(maps.codes)])  # fmt: skip
        self._outside = torch.tensor([code >= FIRST_OUTSIDE for code in maps.codes])
        self._centers = [_brain_center(volume, self._target) for volume in maps.volumes]

    def sample(self, seed: int) -> tuple[Tensor, Tensor]:
        """One training pair; target shares sum to 1 over K."""
        rng = torch.Generator().manual_seed(seed)
        which = int(torch.randint(len(self.maps.volumes), (1,), generator=rng))
        mirrored = bool(torch.rand(1, generator=rng) < 0.5)
        base, place = _grid(self.config, self._centers[which], mirrored, rng)  # both 3 D H W
        codes = self._sample_codes(self.maps.volumes[which], base)  # 8 D H W, the 2x2x2 samples of every voxel
        target = self._soft_target(codes, mirrored)
        image = self._paint(codes, rng)
        image = _degrade(image, self.config, rng)
        return torch.cat([_normalise(image, rng)[None], place]), target

    def _sample_codes(self, volume: Tensor, base: Tensor) -> Tensor:
        shape = torch.tensor(volume.shape)
        step = self.config.spacing / 4
        found = []
        for corner in range(8):
            signs = torch.tensor([(corner >> bit & 1) * 2 - 1 for bit in (2, 1, 0)], dtype=torch.float32)
            place = (base + (signs * step).view(3, 1, 1, 1)).round().long()
            inside = ((place >= 0) & (place < shape.view(3, 1, 1, 1))).all(0)
            flat = (place[0] * shape[1] + place[1]) * shape[2] + place[2]
            code = volume.view(-1)[flat.clamp(0, volume.numel() - 1)].long()
            found.append(torch.where(inside, code, 0))
        return torch.stack(found)  # 8 D H W

    def _soft_target(self, codes: Tensor, mirrored: bool) -> Tensor:
        classes = (self._target_mirrored if mirrored else self._target)[codes]
        target = torch.zeros(len(LABELS), *codes.shape[1:])
        share = torch.full(codes.shape[1:], 1 / 8)[None]
        for corner in classes:
            target.scatter_add_(0, corner[None], share)
        return target

    def _paint(self, codes: Tensor, rng: torch.Generator) -> Tensor:
        config = self.config
        number = len(self.maps.codes)
        means = _uniform(rng, number, *config.means)
        spreads = _uniform(rng, number, *config.spreads)
        if torch.rand(1, generator=rng) < config.grouped:
            self._group(means, rng)
            spreads = spreads * 0.7
        means, spreads = means[self._tissue], spreads[self._tissue]
        stripped = float(torch.rand(1, generator=rng)) < config.stripped
        if stripped:
            means[self._outside] = 0.0
            spreads[self._outside] = 0.0
        if stripped or torch.rand(1, generator=rng) < 0.6:  # air is dark in most scans, but not in all
            means[0], spreads[0] = 0.0, float(torch.rand(1, generator=rng)) * 4.0
        mean = means[codes].mean(0)  # 8 D H W -> D H W
        spread = spreads[codes].mean(0)
        return mean + spread * torch.randn(mean.shape, generator=rng)

    def _group(self, means: Tensor, rng: torch.Generator) -> None:
        """Replace the means of brain classes by tissue means with a little variation, in place."""
        white, grey, fluid = _uniform(rng, 3, *self.config.means).tolist()
        for code, position in ((code, i) for i, code in enumerate(self.maps.codes)):
            jitter, mix = torch.rand(2, generator=rng).tolist()
            if code in WHITE:
                mean = white
            elif code in GREY:
                mean = grey + 0.15 * mix * (white - grey)
            elif code in MIXED:
                mean = grey + mix * (white - grey)
            elif code in FLUID:
                mean = fluid
            else:
                continue
            means[position] = mean + 12.0 * (jitter - 0.5)


def _uniform(rng: torch.Generator, number: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(number, generator=rng)


def _brain_center(volume: Tensor, target: Tensor) -> Tensor:
    brain = (target[volume.long()] > 0).float()
    return torch.tensor([
        float((brain.sum([a for a in range(3) if a != axis]) * torch.arange(volume.shape[axis])).sum() / brain.sum())
        for axis in range(3)
    ])  # fmt: skip


def _grid(config: SynthConfig, center: Tensor, mirrored: bool, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Where in the label map (mm = voxels of a 1 mm map) every voxel of the sample looks, and its place channels."""
    angles = torch.deg2rad(_uniform(rng, 3, -config.rotation, config.rotation))
    scales = 1 + _uniform(rng, 3, -config.scaling, config.scaling)
    shears = _uniform(rng, 6, -config.shear, config.shear)
    matrix = _rotation(angles) @ _shear(shears) @ torch.diag(scales)
    if mirrored:
        matrix = matrix @ torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    axes = [(torch.arange(n) - (n - 1) / 2) * config.spacing for n in config.crop]
    mesh = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # 3 D H W
    shift = _uniform(rng, 3, -config.center_jitter, config.center_jitter)
    placed = torch.einsum("ij,jdhw->idhw", matrix, mesh) + (center + shift).view(3, 1, 1, 1)
    nodes = [max(2, round(n * config.spacing / config.displacement_grid) + 1) for n in config.crop]
    strength = config.displacement * float(torch.rand(1, generator=rng))
    coarse = strength * torch.randn(1, 3, *nodes, generator=rng)
    smooth = functional.interpolate(coarse, size=config.crop, mode="trilinear", align_corners=True)[0]
    seen = torch.linalg.solve(matrix, -shift) + config.place_error * torch.randn(3, generator=rng)  # centre, mm
    known = float(torch.rand(1, generator=rng) >= config.place_unknown)
    return placed + smooth, known * (mesh - seen.view(3, 1, 1, 1)) / PLACE_UNIT


def _rotation(angles: Tensor) -> Tensor:
    (cx, cy, cz), (sx, sy, sz) = angles.cos().tolist(), angles.sin().tolist()
    about_x = torch.tensor([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = torch.tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = torch.tensor([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _shear(values: Tensor) -> Tensor:
    matrix = torch.eye(3)
    matrix[~torch.eye(3, dtype=torch.bool)] = values
    return matrix


def _degrade(image: Tensor, config: SynthConfig, rng: torch.Generator) -> Tensor:
    """Bias field, then thick slices along one axis and mild blur along the others."""
    strength = config.bias * float(torch.rand(1, generator=rng))
    field = strength * torch.randn(1, 1, 4, 4, 4, generator=rng)
    smooth = functional.interpolate(field, size=image.shape, mode="trilinear", align_corners=True)[0, 0]
    image = image.clamp_min(0) * smooth.exp()
    thick_axis = int(torch.randint(4, (1,), generator=rng))  # 3: isotropic
    for axis in range(3):
        width = config.spacing * (1 + 0.7 * float(torch.rand(1, generator=rng)))
        if axis == thick_axis:
            width = config.spacing + (config.thickness - config.spacing) * float(torch.rand(1, generator=rng))
        image = _slices(image, axis, width / config.spacing)
    return image


def _slices(image: Tensor, axis: int, factor: float) -> Tensor:
    """Blur to slices `factor` voxels thick, sample one value a slice, and interpolate back to the grid."""
    if factor < 1.15:
        return image
    moved = image.movedim(axis, -1)  # D H W -> . . n
    flat = moved.reshape(1, -1, moved.shape[-1])  # 1 M n
    sigma = 0.42 * factor  # full width at half maximum of a slice, in voxels
    radius = max(1, round(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    padded = functional.pad(flat, (radius, radius), mode="replicate")
    blurred = functional.conv1d(padded.transpose(0, 1), (taps / taps.sum()).view(1, 1, -1)).transpose(0, 1)
    length = moved.shape[-1]
    if factor >= 1.8:
        fewer = max(2, round(length / factor))
        coarse = functional.interpolate(blurred, size=fewer, mode="linear", align_corners=True)
        blurred = functional.interpolate(coarse, size=length, mode="linear", align_corners=True)
    return blurred.reshape(moved.shape).movedim(-1, axis)


def _normalise(image: Tensor, rng: torch.Generator) -> Tensor:
    """To 0..1 by robust extremes, as inference does, then a random gamma and a little noise."""
    values = image.flatten()[:: max(1, image.numel() // 20_000)]
    low, high = torch.quantile(values, 0.005), torch.quantile(values, 0.995)
    unit = ((image - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
    gamma = float(torch.exp(0.4 * torch.randn(1, generator=rng)))
    noise = 0.03 * float(torch.rand(1, generator=rng)) * torch.randn(unit.shape, generator=rng)
    return (unit**gamma + noise).clamp(0, 1)


def to_numpy(image: Tensor) -> NDArray[np.float32]:
    """Image channel of a sample as a plain array, for viewers and tests."""
    return image[0].numpy().astype(np.float32)
