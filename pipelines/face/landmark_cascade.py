"""Closer landmarks: a cascade of linear maps from gradients around five points to where the points should be.

Supervised descent (Xiong and De la Torre 2013, CVPR, eq. 12 to 14): at stage k the face is brought upright by the
current points p (5 2), orientation energies phi(p) are read on a grid over the face and round every point, and

    p  <-  p + phi(p) R_k + b_k

in the coordinates of the upright crop. Each face is refined as it is and mirrored, and both answers are averaged.
Deviations: the crop is aligned anew at each stage, so that the maps see one size and one direction of faces; energies
are smoothed and sampled at points (as DAISY, Tola et al. 2010, IEEE TPAMI 32(5)) instead of SIFT's histograms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.face_boxes import MIRROR
from vitapps.errors import MissingError, UsageError
from vitapps.pipelines.face.align import align, inverse, moved, similarity, template
from vitapps.pipelines.face.array_card import read_arrays
from vitapps.pipelines.face.descriptors import orientation_energies
from vitapps.pipelines.face.faces import Floats, Pixels
from vitapps.pipelines.runtime.network_facts import NetworkFacts

DEFAULT_WEIGHTS = "face-points"
SIZE = 96  # pixels of the crop in which the maps work
INSET = 0.14  # of the crop on each side of the template: the maps must see points that are off
_BINS = 8
_EPS = 0.02
Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stage:
    """`matrix` D 10 and `bias` 10: from features to the shift of five points, pixels of the crop."""

    matrix: Row
    bias: Row


@dataclass(frozen=True, kw_only=True, slots=True)
class LandmarkCascade:
    """The stages of a card, run by numpy."""

    stages: tuple[Stage, ...]
    facts: NetworkFacts

    @classmethod
    def load(cls, weights: str | None = None) -> LandmarkCascade:
        """By card name or path; MissingError for what is no landmark cascade."""
        _, arrays, facts = read_arrays(weights or DEFAULT_WEIGHTS, "face.landmarks")
        return cls.of(arrays, facts)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], facts: NetworkFacts) -> LandmarkCascade:
        """From the tensors `K.matrix`, `K.bias` of a file, K = 0, 1, …"""
        count = sum(name.endswith(".matrix") for name in arrays)
        try:
            stages = tuple(
                Stage(arrays[f"{k}.matrix"].astype(np.float32), arrays[f"{k}.bias"].astype(np.float32))
                for k in range(count)
            )
        except KeyError as error:
            raise MissingError(f"weights '{facts.name}': lack {error}", hint="restore the file") from None
        return cls(stages=stages, facts=facts)

    def refine(self, pixels: Pixels, landmarks: Floats) -> Floats:
        """Landmarks 5 2 of a face in a picture H W 3, closer to where they belong; those that span nothing stay."""
        size, offset = _neighbourhood(pixels, landmarks)
        part = np.ascontiguousarray(pixels[offset[1] : offset[1] + size[1], offset[0] : offset[0] + size[0]])
        if not part.size:
            return landmarks
        plain = self.descend(part, landmarks - offset)
        width = np.array([size[0], 0])
        turned = self.descend(np.ascontiguousarray(part[:, ::-1]), mirrored(landmarks - offset, size[0]))
        return np.asarray((plain + turned[MIRROR] * [-1, 1] + width) / 2 + offset)

    def descend(self, pixels: Pixels, landmarks: Floats) -> Floats:
        for stage in self.stages:
            try:
                crop, points, back = upright(pixels, landmarks)
            except UsageError:
                return landmarks
            shift = features(crop, points) @ stage.matrix + stage.bias
            landmarks = moved(points + shift.reshape(5, 2), back)
        return landmarks


def upright(pixels: Pixels, landmarks: Floats) -> tuple[Pixels, Floats, Floats]:
    """The crop SIZE SIZE 3 of a face, its points 5 2 in it, and the matrix 2 3 back into the picture."""
    there = similarity(landmarks, template(SIZE, INSET))
    return align(pixels, landmarks, SIZE, INSET), moved(landmarks, there), inverse(there)


def features(crop: Pixels, points: Floats) -> Row:
    """Orientation energies of a crop SIZE SIZE 3 on its grid and round the points 5 2, relative to their mean; D."""
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32) / np.float32(255)
    maps = orientation_energies(grey, _BINS, signed=True)  # bins SIZE SIZE
    fine = np.stack([cv2.GaussianBlur(each, (0, 0), 1.6) for each in maps])
    coarse = np.stack([cv2.GaussianBlur(each, (0, 0), 3.2) for each in maps])
    near = (points[:, None] + _window()[None]).reshape(-1, 2)
    parts = [_relative(_sampled(coarse, _grid())), _relative(_sampled(fine, near))]
    return np.concatenate(parts)


def mirrored(points: Floats, width: int) -> Floats:
    """Landmarks 5 2 in the mirror image of a picture `width` pixels wide."""
    return np.asarray(points[MIRROR] * [-1, 1] + [width, 0])


def _neighbourhood(pixels: Pixels, landmarks: Floats) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Size x y and origin x y of the part of the picture that the cascade may look at."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    reach = 2.0 * max(float((high - low).max()), 2.0)
    limit = np.array([pixels.shape[1], pixels.shape[0]])
    first = np.clip(np.floor(low - reach), 0, limit).astype(np.int64)
    last = np.clip(np.ceil(high + reach), 0, limit).astype(np.int64)
    return (int(last[0] - first[0]), int(last[1] - first[1])), first


def _sampled(maps: Row, points: Floats) -> Row:
    """Maps B S S at points n 2 (pixel-corner origin), bilinear, borders repeated; -> n B."""
    place = np.clip(points - 0.5, 0, maps.shape[1] - 1.001)
    low = place.astype(int)
    x, y = low.T
    u, v = (place - low).astype(np.float32).T
    top = maps[:, y, x] * (1 - u) + maps[:, y, x + 1] * u
    bottom = maps[:, y + 1, x] * (1 - u) + maps[:, y + 1, x + 1] * u
    return np.asarray((top * (1 - v) + bottom * v).T)


def _relative(values: Row) -> Row:
    """Energies n B over their mean at each point and over all, square root; flat n*B."""
    around = 0.5 * values.mean(axis=1, keepdims=True) + 0.5 * values.mean()
    return np.asarray(np.sqrt(values / (around + _EPS)).ravel(), np.float32)


@cache
def _grid() -> Floats:
    places = (np.arange(9) + 0.5) * (SIZE / 9)
    return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)


@cache
def _window() -> Floats:
    steps = np.arange(-2, 3) * 4.5
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
