"""Edited photographs from untouched ones: copy-moves, splices and retouches with their masks and JPEG histories.

Recipes: CAT-Net's "tampered COCO" (Kwon et al. 2022, IJCV 130, section 5.1: donor and target of different compression,
pasted off the block grid, compressed again) and BusterNet (Wu et al. 2018, ECCV, section 4.1: copy-moves by rotation
and scale). Retouches are OpenCV's Telea and Navier-Stokes fillings. What the recipes leave out: camera noise of another
sensor, shadows, anything that a person would do to hide the edit by hand.

    target   compressed at q1 on its own grid (or not at all)
    donor    another photograph (splice) or the target itself (copy-move), other q, other grid, scaled, turned
    mask     ellipse, polygon or blob of 1 to 25 % of the picture, feathered by 0 to 3 pixels
    result   compressed at q2 (or not at all); the mask marks what was pasted, for copy-moves the source as well
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Kind = Literal["untouched", "copy-move", "splice", "retouch"]
KINDS: tuple[Kind, ...] = ("untouched", "copy-move", "splice", "retouch")
_SHARES = (0.25, 0.3, 0.3, 0.15)
Image = NDArray[np.uint8]
Mask = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tampered:
    """`image` H W 3 uint8 RGB, `mask` H W bool, True where it was edited (and where a copy came from)."""

    image: Image
    mask: NDArray[np.bool_]
    kind: Kind


def tamper(target: Image, donor: Image, seed: int, kind: Kind | None = None) -> Tampered:
    """Edit `target` H W 3 uint8; `donor` H W 3 uint8 gives what is spliced. One seed gives one result."""
    rng = np.random.default_rng(seed)
    chosen: Kind = kind or KINDS[int(rng.choice(len(KINDS), p=_SHARES))]
    base = _jpeg(target, rng, (70, 98), never=0.25)
    if chosen == "untouched":
        edited, mask = _globally_processed(base, rng), np.zeros(base.shape[:2], bool)
    elif chosen == "copy-move":
        edited, mask = _copy_move(base, rng)
    elif chosen == "splice":
        edited, mask = _splice(base, _jpeg(donor, rng, (50, 95), never=0.2), rng)
    else:
        edited, mask = _retouch(base, rng)
    return Tampered(image=_jpeg(edited, rng, (75, 98), never=0.3), mask=mask, kind=chosen)


def shape_mask(height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """An ellipse, a polygon or a blob of about 1 to 25 % of H W."""
    area = height * width * float(np.exp(rng.uniform(np.log(0.01), np.log(0.25))))
    radius = np.sqrt(area / np.pi)
    ratio = float(np.exp(rng.uniform(-0.5, 0.5)))
    rx, ry = min(radius * ratio, 0.4 * width), min(radius / ratio, 0.4 * height)
    centre = np.array([rng.uniform(rx, width - rx), rng.uniform(ry, height - ry)])
    angles = np.linspace(0, 2 * np.pi, int(rng.integers(24, 48)), endpoint=False)
    rough = {0: 0.0, 1: 0.35, 2: 0.12}[int(rng.integers(3))]
    wave = 1 + rough * np.convolve(rng.standard_normal(len(angles) * 3), np.ones(5) / 5, "same")[: len(angles)]
    outline = centre + np.stack([rx * np.cos(angles) * wave, ry * np.sin(angles) * wave], axis=1)  # N 2
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], 1)
    return mask.astype(bool)


def _copy_move(base: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    height, width = base.shape[:2]
    source = shape_mask(height, width, rng)
    ys, xs = np.nonzero(source)
    if not len(ys):
        return base, source
    centre = (float(xs.mean()), float(ys.mean()))
    turned = rng.random() < 0.5
    angle, scale = (rng.uniform(-40, 40), rng.uniform(0.7, 1.4)) if turned else (0.0, 1.0)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, angle, scale), np.float64)
    shift = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height]) - centre
    matrix[:, 2] += shift if turned else shift.round()
    moved = np.asarray(cv2.warpAffine(base, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)
    place = cv2.warpAffine(source.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST).astype(bool)
    place &= ~source
    return _blend(base, moved, place, rng), place | source


def _splice(base: Image, donor: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    height, width = base.shape[:2]
    place = shape_mask(height, width, rng)
    scale = max(height / donor.shape[0], width / donor.shape[1]) * rng.uniform(1.0, 1.5)
    size = (max(width, round(donor.shape[1] * scale)), max(height, round(donor.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pasted = np.asarray(cv2.resize(donor, size, interpolation=way), np.uint8)
    top, left = int(rng.integers(size[1] - height + 1)), int(rng.integers(size[0] - width + 1))
    pasted = pasted[top : top + height, left : left + width]
    if rng.random() < 0.5 and place.any():
        pasted = _colours_like(pasted, base, place)
    if rng.random() < 0.3:
        pasted = np.asarray(cv2.GaussianBlur(pasted, (0, 0), rng.uniform(0.4, 1.2)), np.uint8)
    return _blend(base, np.ascontiguousarray(pasted), place, rng), place


def _retouch(base: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.bool_]]:
    """Filled in from the surroundings, smoothed, or sharpened; a filling is made at half size to be quick."""
    height, width = base.shape[:2]
    place = shape_mask(height, width, rng)
    way = int(rng.integers(3))
    if way == 0:
        small = cv2.resize(base, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        hole = cv2.resize(place.astype(np.uint8), (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
        method = cv2.INPAINT_TELEA if rng.random() < 0.5 else cv2.INPAINT_NS
        changed = cv2.resize(cv2.inpaint(small, hole, 3, method), (width, height), interpolation=cv2.INTER_CUBIC)
    else:
        soft = cv2.GaussianBlur(base, (0, 0), rng.uniform(0.8, 3.0))
        changed = soft if way == 1 else cv2.addWeighted(base, 2.0, soft, -1.0, 0)
    return _blend(base, np.asarray(changed, np.uint8), place, rng), place


def _globally_processed(base: Image, rng: np.random.Generator) -> Image:
    """An untouched picture may have been scaled, brightened or filtered as a whole: that is no edit."""
    way = int(rng.integers(4))
    if way == 1:
        factor = rng.uniform(0.7, 1.3)
        return _scaled(_scaled(base, factor), 1.0, base.shape[:2])
    if way == 2:
        return (base * rng.uniform(0.8, 1.2) + rng.uniform(-10, 10)).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(base, (0, 0), rng.uniform(0.3, 1.0)), np.uint8) if way == 3 else base


def _scaled(image: Image, factor: float, size: tuple[int, int] | None = None) -> Image:
    """By a factor, or to `size` H W."""
    height, width = size or (round(image.shape[0] * factor), round(image.shape[1] * factor))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _blend(base: Image, pasted: Image, place: NDArray[np.bool_], rng: np.random.Generator) -> Image:
    """`pasted` where `place` is, with an edge of 0 to 3 pixels."""
    alpha = place.astype(np.float32)
    feather = rng.uniform(0, 3)
    if feather > 0.3:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), feather / 2), np.float32)
    mixed = base + alpha[..., None] * (pasted.astype(np.float32) - base)
    return mixed.round().clip(0, 255).astype(np.uint8)


def _colours_like(pasted: Image, base: Image, place: NDArray[np.bool_]) -> Image:
    """Mean and deviation of each colour of `pasted` moved to those of `base` at the place (Reinhard et al. 2001)."""
    source, goal = pasted[place].astype(np.float32), base[place].astype(np.float32)  # N 3
    gain = ((goal.std(axis=0) + 1) / (source.std(axis=0) + 1)).clip(0.6, 1.6)
    moved = (pasted - source.mean(axis=0)) * gain + goal.mean(axis=0)
    return np.asarray(moved.clip(0, 255), np.uint8)


def _jpeg(image: Image, rng: np.random.Generator, qualities: tuple[int, int], *, never: float) -> Image:
    if rng.random() < never:
        return image
    quality = int(rng.integers(qualities[0], qualities[1] + 1))
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
