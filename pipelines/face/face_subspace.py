"""Which parts of a framed face are covered, and what would be there: detect, mask, reconstruct.

Latent-OFER (Lee et al. 2023, arXiv:2307.11404, section 3) finds occluded patches by a sphere round the latents of clean
ones (support vector data description), masks them, reconstructs them from the rest and reads the expression from the
whole. Here the autoencoder is linear-Gaussian, since some thousand faces teach no ViT:

    x = mean + W z + noise,  z ~ N(0, I)                 probabilistic PCA (Tipping and Bishop 1999, eq. 2 and 7)
    z | seen = (W_s' W_s + v I)^-1 W_s' (x_s - mean_s)    its posterior given the patches that are seen
    r_p = |x_p - mean_p - W_p z|^2 / R_p^2                distance from the sphere of clean patches, covered where > 1

Patches are dropped and the posterior taken again until no more fall out; at most half of them may. On drawn faces this
finds what it should; on FER2013's it does not (AUC 0.41 for textured rectangles): real faces differ from the subspace
by more than occluders do. It is an experiment, off by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.faces import Pixels

CARD = {
    "id": "S264",
    "name": "latent_ofer",
    "family": "face",
    "paper": "Lee et al. 2023, arXiv:2307.11404",
    "equation": "section 3 (occlusion patch detector, reconstruction)",
    "deviations": "a linear-Gaussian autoencoder in place of ViT and CNN; spheres of one radius a place, centred at the"
    " reconstruction; no class-activation weighting of latents",
    "slots": [],
    "cost": "O(rounds (P k + k^3)) for P pixels and k axes",
    "status": "paper",
}
SIDE = 32  # pixels of the faces in which parts are judged
PATCH = 4
CELLS = SIDE // PATCH
_ROUNDS, _MOST = 8, CELLS * CELLS // 2
Floats32 = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceSubspace:
    """`mean` P, `basis` P k, `noise` variance, `radius` of the sphere of each patch (CELLS^2), for faces SIDE SIDE in
    0..1, P = SIDE^2 in the order of patches."""

    mean: Floats32
    basis: Floats32
    noise: float
    radius: Floats32

    def restored(self, face: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
        """A framed face S S with its covered patches as they would be, and which these were (CELLS CELLS). The seams
        are blended; a face without covered patches comes back as it is."""
        hidden, guess = self._judged(to_patches(face))
        mask = hidden.reshape(CELLS, CELLS)
        if not hidden.any():
            return face, mask
        size = face.shape[::-1]
        soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        filled = cv2.resize(from_patches(guess), size, interpolation=cv2.INTER_CUBIC) * 255
        mixed = face + np.minimum(1, 2 * soft) * (filled - face)
        return np.asarray(mixed.clip(0, 255).round(), np.uint8), mask

    def distances(self, face: Pixels) -> Floats32:
        """How far each patch of a framed face is from its sphere, CELLS CELLS; covered where above 1."""
        patches = to_patches(face)
        guess = self._judged(patches)[1]
        return self._distance(patches, guess).reshape(CELLS, CELLS)

    def _distance(self, patches: Floats32, guess: Floats32) -> Floats32:
        return np.asarray(((patches - guess.reshape(patches.shape)) ** 2).sum(axis=1) / self.radius**2, np.float32)

    def _judged(self, patches: Floats32) -> tuple[NDArray[np.bool_], Floats32]:
        """Whether each patch is covered, and all pixels as the seen patches tell them; patches n p -> n, P."""
        seen = np.ones(len(patches), bool)
        guess = self._guess(patches, seen)
        for _ in range(_ROUNDS):
            distance = self._distance(patches, guess)
            limit = max(1.0, float(np.sort(distance)[-_MOST - 1]))
            now = distance <= limit
            if (now == seen).all():
                break
            seen = now
            guess = self._guess(patches, seen)
        return ~seen, guess

    def _guess(self, patches: Floats32, seen: NDArray[np.bool_]) -> Floats32:
        kept = np.repeat(seen, patches.shape[1])
        part = self.basis[kept]  # pixels that are seen, k
        square = part.T @ part + self.noise * np.eye(part.shape[1], dtype=np.float32)
        latent = np.linalg.solve(square, part.T @ (patches.ravel()[kept] - self.mean[kept]))
        return np.asarray(self.mean + self.basis @ latent, np.float32)


def to_patches(face: Pixels) -> Floats32:
    """A framed face S S uint8 -> patches CELLS^2, PATCH^2 in 0..1."""
    small = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    tiles = small.reshape(CELLS, PATCH, CELLS, PATCH).transpose(0, 2, 1, 3)
    return np.asarray(tiles.reshape(CELLS * CELLS, -1), np.float32)


def from_patches(pixels: Floats32) -> Floats32:
    """The pixels P of all patches as a picture SIDE SIDE."""
    return pixels.reshape(CELLS, CELLS, PATCH, PATCH).transpose(0, 2, 1, 3).reshape(SIDE, SIDE)


def fit_subspace(faces: Sequence[Pixels], axes: int = 60, outside: float = 0.002) -> FaceSubspace:
    """From clean framed faces, two at least. The radii leave a share `outside` of the patches of clean faces outside of
    their spheres, by subspaces that did not see these faces (two halves)."""
    patches = np.stack([to_patches(face) for face in faces])  # n CELLS^2 PATCH^2
    left = [_residuals(_subspace(patches[1 - half :: 2], axes), patches[half::2]) for half in (0, 1)]
    radius = np.sqrt(np.quantile(np.concatenate(left), 1 - outside, axis=0))
    return replace(_subspace(patches, axes), radius=np.maximum(radius, 1e-3).astype(np.float32))


def _subspace(patches: Floats32, axes: int) -> FaceSubspace:
    """Without radii, by maximum likelihood (Tipping and Bishop, eq. 7 and 8)."""
    rows = patches.reshape(len(patches), -1)
    mean = rows.mean(axis=0)
    _, lengths, directions = np.linalg.svd(rows - mean, full_matrices=False)
    variance = lengths**2 / len(rows)
    axes = min(axes, len(variance) - 1)
    noise = float(variance[axes:].sum() / max(1, rows.shape[1] - axes))
    basis = directions[:axes].T * np.sqrt(np.maximum(variance[:axes] - noise, 1e-9))
    return FaceSubspace(
        mean=mean.astype(np.float32), basis=basis.astype(np.float32), noise=max(noise, 1e-6),
        radius=np.ones(CELLS * CELLS, np.float32),
    )  # fmt: skip


def _residuals(subspace: FaceSubspace, patches: Floats32) -> Floats32:
    """Squared distances of patches n CELLS^2 p from what the whole face tells, n CELLS^2."""
    every = np.ones(CELLS * CELLS, bool)
    return np.stack([subspace._distance(face, subspace._guess(face, every)) for face in patches])
