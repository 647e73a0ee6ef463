"""Brightness of each tissue in the scan at hand, learned from the scan: class shares become sharper at its own grid.

The network's shares say where a structure may lie, a Gaussian per tissue says how bright it is in this very scan; both
together give the label (Ashburner & Friston 2005, Unified segmentation, NeuroImage 26, 839, eq. 3-11; Puonti et al.
2016, NeuroImage 143, 235, section 2 ties structures to tissues as is done here). Nothing is known beforehand about the
contrast. Deviations: the prior is the network's, not a deformed atlas; no bias field; the means are fitted on a random
part of the voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.medical.resample import Matrix
from vitapps.pipelines.windows.band import share_unit

Floats = NDArray[np.float32]
ROUNDS = 12
AIR = 3  # Gaussians of everything outside the tissues
NARROWEST = 0.03  # standard deviation; brightness of the scan is 0..1
PSEUDO = 50.0  # voxels of spread USUAL that each tissue starts with, so that a tiny one does not collapse
USUAL = 0.1
UNLIKELY = -8.0  # log-likelihood at least: no brightness rules a sure label out
TRACE = 1e-6  # share added to every class
POINTS = 150_000
OUTSIDE = 0.98  # background share from which on a voxel teaches nothing


@dataclass(frozen=True, slots=True)
class Tissues:
    """`tissue_of[k]` is the tissue of class k, 0 the background; `means`, `spreads` of tissues 1.. at index tissue - 1.

    `air_weights`, `air_means`, `air_spreads`: the mixture of the background.
    """

    tissue_of: NDArray[np.intp]
    means: Floats
    spreads: Floats
    air_weights: Floats
    air_means: Floats
    air_spreads: Floats

    def likelihoods(self, image: Floats) -> Floats:
        """T *spatial for brightness *spatial: the background first, then the tissues; at least exp(UNLIKELY)."""
        lead = (slice(None), *(None,) * image.ndim)
        air = _normal(image[None], self.air_means[lead], self.air_spreads[lead]) * self.air_weights[lead]
        others = _normal(image[None], self.means[lead], self.spreads[lead])
        found: Floats = np.maximum(np.concatenate([air.sum(0, keepdims=True), others]), np.float32(np.exp(UNLIKELY)))
        return found


def tissue_numbers(names: Sequence[str]) -> NDArray[np.intp]:
    """Tissue of each class by name; the first name is the background's, equal names are one tissue."""
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names], np.intp)


def fit_tissues(image: Floats, prior: Floats, tissue_of: NDArray[np.intp]) -> Tissues:
    """Expectation maximisation on brightness `n` in 0..1 with class shares `K n` as the prior."""
    number = int(tissue_of.max()) + 1
    trace = np.bincount(tissue_of, minlength=number)[:, None] * np.float32(TRACE)
    prior = (_by_tissue(prior, tissue_of, number) + trace).astype(np.float32)  # K n -> T n: one likelihood a tissue
    shares = prior / prior.sum(0)
    found = _start(image, shares[0], tissue_of)
    for _ in range(ROUNDS):
        found = _maximise(image, shares, found)
        shares = prior * found.likelihoods(image)
        shares /= shares.sum(0)
    return found


def sample_points(
    scores: NDArray[Any], matrices: Sequence[Matrix], seed: int = 0
) -> tuple[tuple[NDArray[np.intp], ...], Floats] | None:
    """Random voxels X Y Z of the scan that may be foreground, at most POINTS, and the class shares K n there.

    `scores` K D H W on the network grid, `matrices` from it to the scan's. None where everything is background.
    """
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    unit = share_unit(scores)
    found: Any = ndimage.find_objects((scores[0] < OUTSIDE * unit).astype(np.uint8))
    if not found:
        return None
    places = [matrix @ np.arange(matrix.shape[1], dtype=np.float64) for matrix in matrices]  # scan voxel -> network
    picked = np.empty((3, 4 * POINTS), np.int32)
    for row, place, near in zip(picked, places, found[0], strict=True):
        inside = np.flatnonzero((place >= near.start) & (place <= near.stop - 1))
        row[:] = rng.choice(inside if len(inside) else np.arange(len(place)), 4 * POINTS)
    kept: list[NDArray[np.intp]] = []
    for start in range(0, 4 * POINTS, POINTS):  # in parts, most often of which the first is enough
        air = _interpolated(scores[0], picked[:, start : start + POINTS], places)
        kept.append(start + np.flatnonzero(air < OUTSIDE * unit))
        if sum(map(len, kept)) >= POINTS:
            break
    chosen = picked[:, np.concatenate(kept)[:POINTS]]  # 3 n
    if not chosen.size:
        return None
    shares = np.empty((len(scores), chosen.shape[1]), np.float32)
    for share, score in zip(shares, scores, strict=True):
        share[:] = _interpolated(score, chosen, places)
    np.maximum(shares, 0, out=shares)
    shares /= np.float32(unit)
    return tuple(chosen.astype(np.intp)), shares


def _interpolated(score: NDArray[Any], picked: NDArray[np.int32], places: Sequence[NDArray[np.float64]]) -> Floats:
    """`score` D H W at the voxels `picked` 3 n of the scan, whose places on the network grid are `places`."""
    from scipy import ndimage

    where = np.stack([place[index] for place, index in zip(places, picked, strict=True)])  # 3 n
    found: Floats = ndimage.map_coordinates(score, where, np.float32, order=1, mode="nearest")
    return found


def _start(image: Floats, air: Floats, tissue_of: NDArray[np.intp]) -> Tissues:
    """The background mixture at its own quantiles; the tissues follow in the first maximisation."""
    order = np.argsort(image)
    total = np.cumsum(air[order])
    at = np.searchsorted(total, total[-1] * (np.arange(AIR) + 0.5) / AIR)
    means = image[order][np.minimum(at, len(image) - 1)]
    even = np.full(AIR, 1 / AIR, np.float32)
    empty = np.zeros(int(tissue_of.max()), np.float32)
    return Tissues(tissue_of, empty, empty, even, means, np.full(AIR, USUAL, np.float32))


def _maximise(image: Floats, shares: Floats, old: Tissues) -> Tissues:
    parts = _normal(image[None], old.air_means[:, None], old.air_spreads[:, None]) * old.air_weights[:, None]  # A n
    parts = parts / np.maximum(parts.sum(0), 1e-12) * shares[0]
    means, spreads = _moments(image, shares[1:])
    air_means, air_spreads = _moments(image, parts)
    weights = parts.sum(1) + np.float32(1.0)
    return Tissues(old.tissue_of, means, spreads, weights / weights.sum(), air_means, air_spreads)


def _moments(image: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted mean and standard deviation of brightness n for each row of G n."""
    total = weights.sum(1) + np.float32(1e-3)
    means = (weights @ image) / total
    squares = np.stack([row @ (image - mean) ** 2 for row, mean in zip(weights, means, strict=True)])
    spreads = np.sqrt((squares + PSEUDO * USUAL**2) / (total + PSEUDO))
    return means.astype(np.float32), np.maximum(spreads, NARROWEST).astype(np.float32)


def _by_tissue(shares: Floats, tissue_of: NDArray[np.intp], number: int) -> Floats:
    summed = np.zeros((number, shares.shape[1]), np.float32)
    for tissue, row in zip(tissue_of, shares, strict=True):
        summed[tissue] += row  # K n -> T n
    return summed


def _normal(x: Floats, mean: Floats, spread: Floats) -> Floats:
    """Density without the factor 1 / sqrt(2 pi), which all classes share."""
    found: Floats = np.exp(-0.5 * ((x - mean) / spread) ** 2) / spread
    return found
