"""Objects cut from photographs by random smooth outlines, and laying them over other pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
STORED = 72.0  # pixels: root of the area of a stored cutout's frame, a little more than it is drawn with


@dataclass(frozen=True, kw_only=True, slots=True)
class Cutout:
    """`pixels` h w 3, `alpha` h w in 0..255 with a soft edge."""

    pixels: Picture
    alpha: Picture


def cut_objects(photos: Sequence[Picture], number: int, rng: np.random.Generator) -> list[Cutout]:
    """`number` pieces of the photographs with enough contrast, each stored at about `STORED` pixels a side."""
    found: list[Cutout] = []
    while len(found) < number:
        photo = photos[int(rng.integers(len(photos)))]
        height, width = photo.shape[:2]
        size = np.exp(rng.uniform(np.log(24), np.log(max(30, min(height, width) * 0.7))))
        aspect = np.exp(np.clip(rng.normal(0, 0.45), -1.1, 1.1))
        w, h = int(min(size * aspect**0.5, width)), int(min(size / aspect**0.5, height))
        x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        part = photo[y : y + h, x : x + w]
        if min(w, h) < 12 or (part.std() < 18 and rng.random() < 0.9):
            continue
        scale = STORED / np.sqrt(w * h)
        shape = (max(12, round(w * scale)), max(12, round(h * scale)))
        pixels = np.asarray(cv2.resize(part, shape, interpolation=cv2.INTER_AREA), np.uint8)
        found.append(Cutout(pixels=pixels, alpha=random_outline(shape[1], shape[0], rng)))
    return found


def random_outline(height: int, width: int, rng: np.random.Generator) -> Picture:
    """h w alpha: an ellipse with smooth waves, a union of two of them, or a rounded rectangle, that fills the frame."""
    kind = rng.random()
    if kind < 0.15:
        alpha = np.zeros((height, width), np.uint8)
        cv2.rectangle(alpha, (2, 2), (width - 3, height - 3), 255, -1)
    else:
        alpha = _blob(height, width, rng, 1.0, (0.5, 0.5))
        if kind > 0.6:
            alpha = np.maximum(alpha, _blob(height, width, rng, 0.6, tuple(rng.uniform(0.3, 0.7, 2))))
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.8), np.uint8)


def _blob(
    height: int, width: int, rng: np.random.Generator, size: float, at: tuple[float, ...]
) -> Picture:  # fmt: skip
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones(48)
    for wave in range(2, 7):
        radius += rng.normal(0, 0.28 / wave) * np.cos(wave * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.35, None)
    points = np.stack([np.cos(angles) * radius, np.sin(angles) * radius], axis=1)
    points /= np.abs(points).max(axis=0)
    points = points * np.array([width / 2 - 2, height / 2 - 2]) * size + np.array([at[0] * width, at[1] * height])
    alpha = np.zeros((height, width), np.uint8)
    cv2.fillPoly(alpha, [np.round(points).astype(np.int32)], 255)
    return alpha


def outline(thing: Cutout) -> NDArray[np.float64]:
    """n 2: corner coordinates of the outline's points."""
    inside = (thing.alpha > 127).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        height, width = thing.alpha.shape
        return np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    return np.concatenate(contours)[:, 0].astype(np.float64) + 0.5


def bend(thing: Cutout, rng: np.random.Generator) -> Cutout:
    """A smooth random displacement of up to a tenth of the size."""
    height, width = thing.alpha.shape
    force = rng.uniform(0, 0.06) * np.sqrt(height * width)
    coarse = rng.normal(0, force, (4, 4, 2)).astype(np.float32)
    shift = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    x = np.arange(width, dtype=np.float32)[None] + shift[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + shift[..., 1]
    pixels = cv2.remap(thing.pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    alpha = cv2.remap(thing.alpha, x, y, cv2.INTER_LINEAR, borderValue=0)
    return Cutout(pixels=np.asarray(pixels, np.uint8), alpha=np.asarray(alpha, np.uint8))


def recoloured(thing: Cutout, rng: np.random.Generator, force: float) -> Cutout:
    """Other gains and offsets of the three colours, mixed a little with one another."""
    mix = np.eye(3) + rng.normal(0, force / 2, (3, 3))
    gain = np.exp(rng.normal(0, force, 3))
    table = thing.pixels.astype(np.float32) @ (mix * gain).T.astype(np.float32) + rng.normal(0, 60 * force)
    return Cutout(pixels=np.clip(table, 0, 255).astype(np.uint8), alpha=thing.alpha)


def warp(picture: Picture, matrix: NDArray[np.float64], side: int) -> Picture:
    """side side 3: the picture under a 2 3 map of corner coordinates, mirrored beyond its border."""
    shrink = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if shrink < 0.6:  # linear interpolation alone would pick single pixels
        factor = max(shrink, 0.05)
        size = (max(8, round(picture.shape[1] * factor)), max(8, round(picture.shape[0] * factor)))
        ratio = np.array([picture.shape[1] / size[0], picture.shape[0] / size[1]])
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = np.column_stack([matrix[:, :2] * ratio, matrix[:, 2]])
    moved = cv2.warpAffine(
        picture, _by_index(matrix), (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, np.uint8)


def warp_over(ground: Picture, thing: Cutout, matrix: NDArray[np.float64]) -> Picture:
    """`ground` with the cutout over it; only the part that it covers is touched."""
    side = ground.shape[0]
    height, width = thing.alpha.shape
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.clip(np.floor(corners.min(axis=0)) - 1, 0, side).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, side).astype(int)
    if (high <= low).any():
        return ground
    local = np.column_stack([matrix[:, :2], matrix[:, 2] - low])
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    alpha = cv2.warpAffine(thing.alpha, _by_index(local), size, flags=cv2.INTER_LINEAR)[..., None].astype(np.float32)
    pixels = cv2.warpAffine(
        thing.pixels, _by_index(local), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    out = ground.copy()
    part = out[low[1] : high[1], low[0] : high[0]]
    part[:] = (part + (pixels - part.astype(np.float32)) * (alpha / 255)).astype(np.uint8)
    return out


def _by_index(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map between pixel numbers, whose centres lie half a pixel within."""
    shift = matrix[:, 2] + matrix[:, :2] @ np.full(2, 0.5) - 0.5
    return np.column_stack([matrix[:, :2], shift])
