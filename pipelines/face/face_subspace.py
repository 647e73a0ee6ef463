"""Which parts of a framed face are covered, and what would be there: detect, mask, reconstruct.

Latent-OFER (Lee et al. 2023, arXiv:2307.11404, section 3) finds occluded patches by a sphere round the latents of clean
ones (support vector data description), masks them, reconstructs them from the rest and reads the expression from the
whole. Here the autoencoder is linear-Gaussian, since some thousand faces teach no ViT:

    x = mean + W z + noise,  z ~ N(0, I)                 probabilistic PCA (Tipping and Bishop 1999, eq. 2 and 7)
    z | seen = (W_s' W_s + v I)^-1 W_s' (x_s - mean_s)    its posterior given the patches that are seen
    r_p = |x_p - mean_p - W_p z|^2 / R_p^2                distance from the sphere of clean patches, covered where > 1

Patches are dropped and the posterior taken again until no more fall out; at most half of them may.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.faces import Pixels

CARD = {
    "id": "S264",
    "name": "latent_ofer",
    "family": "tasks",
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

    def covered(self, face: Pixels) -> NDArray[np.bool_]:
        """CELLS CELLS: which patches of a framed face S S do not look like a part of a face."""
        return self._judged(to_patches(face))[0].reshape(CELLS, CELLS)

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

    def _judged(self, patches: Floats32) -> tuple[NDArray[np.bool_], Floats32]:
        """Whether each patch is covered, and all pixels as the seen patches tell them; patches n p -> n, P."""
        seen = np.ones(len(patches), bool)
        guess = self._guess(patches, seen)
        for _ in range(_ROUNDS):
            distance = ((patches - guess.reshape(patches.shape)) ** 2).sum(axis=1) / self.radius**2
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
    return small.reshape(CELLS, PATCH, CELLS, PATCH).transpose(0, 2, 1, 3).reshape(CELLS * CELLS, -1)


def from_patches(pixels: Floats32) -> Floats32:
    """The pixels P of all patches as a picture SIDE SIDE."""
    return pixels.reshape(CELLS, CELLS, PATCH, PATCH).transpose(0, 2, 1, 3).reshape(SIDE, SIDE)


def fit_subspace(faces: list[Pixels], axes: int = 60, covered: float = 0.01) -> FaceSubspace:
    """From clean framed faces: the radii leave a share `covered` of clean patches outside."""
    rows = np.stack([to_patches(face).ravel() for face in faces])  # n P
    mean = rows.mean(axis=0)
    _, lengths, directions = np.linalg.svd(rows - mean, full_matrices=False)
    variance = lengths**2 / len(rows)
    axes = min(axes, len(variance) - 1)
    noise = float(variance[axes:].sum() / max(1, rows.shape[1] - axes))
    basis = directions[:axes].T * np.sqrt(np.maximum(variance[:axes] - noise, 1e-9))
    plain = FaceSubspace(
        mean=mean.astype(np.float32), basis=basis.astype(np.float32), noise=max(noise, 1e-6),
        radius=np.ones(CELLS * CELLS, np.float32),
    )  # fmt: skip
    every = np.ones(CELLS * CELLS, bool)
    left = [((p - plain._guess(p, every).reshape(p.shape)) ** 2).sum(axis=1) for p in map(to_patches, faces)]
    radius = np.sqrt(np.quantile(np.stack(left), 1 - covered, axis=0)).astype(np.float32)
    return FaceSubspace(mean=plain.mean, basis=plain.basis, noise=plain.noise, radius=np.maximum(radius, 1e-3))
