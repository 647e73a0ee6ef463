"""Brain masks against a truth: what differs, where, and whether the truth lies on the scan at all.

    python benchmarks/brain_mask.py SCAN TRUTH NAME=MASK.nii.gz [NAME=MASK.nii.gz ...] [--out FILE]

All on the scan's grid; `vitapps medical segment SCAN --mask -o MASK.nii.gz` writes ours, other tools theirs. Volumes in
mL. `ends`: slices without truth, or its first and last; `front and back`: outside of the middle half of the truth's
extent in that slice; `sides`: the rest. `bright` is at least half as bright as the brain, which on FLAIR neither fluid
nor bone is. `best by distance`: the mask grown or shrunk in steps of half a millimetre. `stretched`: the truth scaled
and moved along each axis (six numbers) until it fits the mask best, both within the slices of the truth. Where masks
by unlike methods all ask for the same scale, and it is not 1, the truth was carried to the scan wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from measure import arguments, report
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize

FAR = 12.0  # mm, beyond which distances to the truth do not matter to the fit
APART = 4.5  # mm between the points of the fit

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Case:
    """Scan and truth X Y Z turned to RAS, `spacing` in mm; `inner` are the slices well inside of the truth."""

    scan: NDArray[np.float32]
    truth: Mask
    spacing: tuple[float, ...]
    inner: slice

    @property
    def ml(self) -> float:
        """Millilitres of a voxel."""
        return float(np.prod(self.spacing)) / 1000


def turned(path: Path) -> Any:
    """The volume with its axes nearest to right, anterior, superior."""
    return nibabel.as_closest_canonical(nibabel.load(path))


def read_case(scan: Path, truth: Path) -> Case:
    image, reference = turned(scan), np.asanyarray(turned(truth).dataobj) > 0
    used = np.flatnonzero(reference.any((0, 1)))
    spacing = tuple(float(step) for step in image.header.get_zooms()[:3])
    return Case(np.asarray(image.dataobj, np.float32), reference, spacing, slice(used[0] + 1, used[-1]))


def dice(a: Mask, b: Mask) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def signed(mask: Mask, case: Case) -> NDArray[np.float32]:
    """Distance in mm to the border of the mask, positive inside."""
    inside, outside = (ndimage.distance_transform_edt(part, sampling=case.spacing) for part in (mask, ~mask))
    return np.asarray(inside - outside, np.float32)


def split(mask: Mask, case: Case) -> list[float]:
    """Volumes of the mask outside of the truth: ends, front and back, sides."""
    outside = mask & ~case.truth
    kept = np.zeros_like(outside)
    for k in range(case.inner.start, case.inner.stop):
        used = np.flatnonzero(case.truth[..., k].any(0))
        quarter = (used[-1] - used[0]) // 4
        middle = slice(used[0] + quarter, used[-1] - quarter)
        kept[:, middle, k] = outside[:, middle, k]
    inner = outside[..., case.inner].sum()
    return [float(v * case.ml) for v in (outside.sum() - inner, inner - kept.sum(), kept.sum())]


def bright_shares(mask: Mask, case: Case) -> tuple[float, float]:
    """Share of bright voxels in what only the mask holds (brain that the truth lacks) and in what only the truth holds
    (brain that the mask lacks)."""
    half = 0.5 * float(np.median(case.scan[mask & case.truth]))
    return tuple(float((case.scan[part] >= half).mean()) for part in (mask & ~case.truth, case.truth & ~mask))  # type: ignore[return-value]


def best_by_distance(mask: Mask, case: Case) -> tuple[float, float]:
    """Largest Dice of the mask grown (positive) or shrunk, and by how many mm."""
    depth = signed(mask, case)
    return max((dice(depth > -grown, case.truth), float(grown)) for grown in np.arange(-6.0, 3.1, 0.5))


def stretched(mask: Mask, case: Case) -> tuple[float, float, NDArray[np.float64]]:
    """Soft Dice before and after the best scaling and shift of the truth, and the three scales."""
    spacing = np.array(case.spacing)
    steps = [max(1, round(APART / step)) for step in case.spacing[:2]] + [1]
    axes = [np.arange(0, n, step) for n, step in zip(mask.shape, steps, strict=True)]
    axes[2] = np.arange(case.inner.start, case.inner.stop)
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)  # 3 N
    centre = (np.array(mask.shape) - 1)[:, None] / 2
    away = (points - centre) * spacing[:, None]
    near = np.abs(away[:2]).max(0) < 110  # mm: no head is wider
    away, inside = away[:, near], mask[tuple(points[:, near])].astype(np.float32)
    depth = np.clip(signed(case.truth, case), -FAR, FAR)

    def cost(numbers: NDArray[np.float64]) -> float:
        place = (away * (1 + numbers[:3, None]) + 100 * numbers[3:, None]) / spacing[:, None] + centre
        share = 1 / (1 + np.exp(-2 * ndimage.map_coordinates(depth, place, order=1, cval=-FAR)))
        return float(-2 * np.minimum(share, inside).sum() / (share.sum() + inside.sum()))

    found = minimize(cost, np.zeros(6), method="Powell", options={"maxiter": 6, "xtol": 2e-3, "ftol": 1e-5})
    return -cost(np.zeros(6)), -float(found.fun), 1 / (1 + found.x[:3])


def row(name: str, mask: Mask, case: Case) -> tuple[str, ...]:
    bound, grown = best_by_distance(mask, case)
    extra, missing = bright_shares(mask, case)
    before, after, scales = stretched(mask, case)
    return (
        name, f"{dice(mask, case.truth):.3f}", f"{mask.sum() * case.ml:.0f}",
        *(f"{volume:.0f}" for volume in split(mask, case)), f"{(case.truth & ~mask).sum() * case.ml:.0f}",
        f"{extra:.0%} / {missing:.0%}", f"{bound:.3f} ({grown:+.1f} mm)", f"{before:.3f} -> {after:.3f}",
        " ".join(f"{scale:.2f}" for scale in scales),
    )  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("masks", nargs="+", metavar="NAME=MASK", type=lambda text: text.split("=", 1))
    options = parser.parse_args()
    case = read_case(options.scan, options.truth)
    rows = [row(name, np.asanyarray(turned(Path(path)).dataobj) > 0, case) for name, path in options.masks]
    head = ("mask", "Dice", "mL", "ends", "front and back", "sides", "missing", "bright extra / missing",
            "best by distance", "stretched", "scale R-L A-P I-S")  # fmt: skip
    report(
        f"brain masks of {options.scan.name}", head, rows, [f"truth {case.truth.sum() * case.ml:.0f} mL"], options.out
    )


if __name__ == "__main__":
    main()
