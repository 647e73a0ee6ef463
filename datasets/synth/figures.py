"""People drawn from poses: tapered limbs with light from one side, clothes, hair, skin, bags, as cut-outs with alpha.

Detectors that learnt from drawn pedestrians alone find real ones where outlines and shading are plausible (Marin et
al. 2010, "Learning Appearance in Virtual Scenarios for Pedestrian Detection", CVPR). Here the outlines are those of
motion capture: joints go through a camera that stands at eye level or looks down, and every part of the body is the
hull of a few circles, far ones first, each in three tones over a dark rim that parts it from what lies behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.clothes import Outfit, draw_outfit, pattern

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Colour = tuple[float, float, float]
TALL = 176  # pixels at which figures are drawn
_MARGIN = 6
_SUB = 4  # bits of fractions of a pixel
_ROUND = np.stack([f(np.arange(14) * 2 * math.pi / 14) for f in (np.cos, np.sin)], axis=1).astype(np.float32)
_LEGS, _ARMS = ((2, 3, 4, 6), (8, 9, 10, 12)), ((21, 22, 23, 25), (30, 31, 32, 34))
_CHEST, _WAIST, _NECK, _THROAT, _HEAD, _CROWN = 15, 13, 16, 17, 18, 19
_TONES = ((1.0, 0.0, 0.0), (0.74, 0.22, 0.5), (0.36, 0.42, 1.0))  # share of the radius, shift to the light, brightness


@dataclass(frozen=True, slots=True)
class Cutout:
    """`pixels` h w 3 and `alpha` h w (0..1) of one person, cropped to it; `pitch`: degrees that the camera looked
    down, NaN where nobody knows."""

    pixels: Pixels
    alpha: Floats
    pitch: float


@dataclass(frozen=True, slots=True)
class _Part:
    """The hull of circles: `centres` n 2 and `radii` n in pixels, `depth` metres from the camera."""

    centres: Floats
    radii: Floats
    depth: float
    colour: Colour
    garment: int = 0  # 1: shows the pattern of the upper garment


def draw_figure(pose: Floats, rng: np.random.Generator, tall: int = TALL) -> Cutout:
    """A person in `pose` (38 3, metres, as `read_poses` gives them), `tall` pixels high, in random clothes and light,
    seen from a random side."""
    outfit = draw_outfit(rng)
    pitch = float(np.clip(abs(rng.normal(0, 20)), 0, 60))
    points, near, bulk = _seen(_turned(pose, rng), pitch, rng)
    parts = sorted(_parts(points, near, outfit, bulk), key=lambda part: -part.depth)
    low = np.min([(part.centres - part.radii[:, None]).min(axis=0) for part in parts], axis=0)
    high = np.max([(part.centres + part.radii[:, None]).max(axis=0) for part in parts], axis=0)
    scale = tall / float(high[1] - low[1])
    size = (math.ceil(scale * float(high[0] - low[0])) + 2 * _MARGIN, tall + 2 * _MARGIN)
    pixels, alpha = _painted(parts, low - _MARGIN / scale, scale, size, outfit, rng)
    return cropped(pixels, alpha, pitch)


def cropped(pixels: Pixels, alpha: Floats, pitch: float) -> Cutout:
    """Cut to where `alpha` is above one half, with one pixel around for soft edges."""
    rows, columns = (np.flatnonzero((alpha > 0.5).any(axis=axis)) for axis in (1, 0))
    part = np.s_[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2]
    return Cutout(np.ascontiguousarray(pixels[part]), np.ascontiguousarray(alpha[part]), pitch)


def _turned(pose: Floats, rng: np.random.Generator) -> Floats:
    """About the upright axis by any angle, mirrored in half of the draws."""
    angle = rng.uniform(0, 2 * math.pi)
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = pose @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], np.float32)
    return turned * np.array([rng.choice([-1, 1]), 1, 1], np.float32)


def _seen(pose: Floats, pitch: float, rng: np.random.Generator) -> tuple[Floats, Floats, float]:
    """Joints in the picture (38 3: x right, y down, depth), size of a metre at each joint, and how stout the person
    is. Three lengths more are appended to the joints: where the face, the back and the light are."""
    forward = (pose[6] - pose[4]) + (pose[12] - pose[10])
    forward[1] = 0
    forward /= max(1e-3, float(np.linalg.norm(forward)))
    chest, head = pose[_CHEST], pose[_HEAD]
    pose = np.concatenate([pose, [head + 0.075 * forward, chest - 0.19 * forward, pose[_WAIST] - 0.17 * forward]])
    tilt, far = math.radians(pitch), math.exp(rng.uniform(math.log(4), math.log(30)))
    centred = pose - np.array([0, 0.9, 0], np.float32)
    y, z = centred[:, 1], centred[:, 2]
    depth = far + z * math.cos(tilt) - y * math.sin(tilt)
    up = y * math.cos(tilt) + z * math.sin(tilt)
    near = far / np.maximum(depth, 1.0)
    flat = np.stack([centred[:, 0] * near, -up * near], axis=1)
    lean = math.radians(float(np.clip(rng.normal(0, 4), -15, 15)))  # wide lenses lean what stands at the side
    turn = np.array([[math.cos(lean), -math.sin(lean)], [math.sin(lean), math.cos(lean)]])
    points = np.concatenate([flat @ turn, depth[:, None]], axis=1)
    return points.astype(np.float32), near.astype(np.float32), float(np.clip(rng.normal(1.12, 0.14), 0.85, 1.5))


def _parts(points: Floats, near: Floats, outfit: Outfit, bulk: float) -> list[_Part]:
    def part(
        joints: Sequence[int], radii: Sequence[float], colour: Colour, garment: int = 0, lift: float = 0.0
    ) -> _Part:  # fmt: skip
        chosen = list(joints)
        return _Part(
            points[chosen, :2], np.array(radii, np.float32) * near[chosen],
            float(points[chosen, 2].mean()) - lift, colour, garment,
        )  # fmt: skip

    found = []
    for hip, knee, ankle, toe in _LEGS:
        shin = outfit.skin if outfit.bare_legs else outfit.lower
        found += [
            part((hip, knee), (0.088 * bulk, 0.062 * bulk), outfit.lower),
            part((knee, ankle), (0.060 * bulk, outfit.cuff), shin),
            part((ankle, toe), (0.045, 0.042), outfit.shoes, lift=0.02),
        ]
    for shoulder, elbow, wrist, hand in _ARMS:
        fore = outfit.skin if outfit.bare_arms else outfit.upper
        found += [
            part((shoulder, elbow), (0.058 * bulk, 0.046 * bulk), outfit.upper, 1),
            part((elbow, wrist), (0.043 * bulk, 0.034), fore, 0 if outfit.bare_arms else 1),
            part((wrist, hand), (0.036, 0.042), outfit.skin),
        ]
    shoulders, hips = (21, 30), (2, 8)
    found.append(
        part((*shoulders, _CHEST, _WAIST, *hips), (0.07, 0.07, 0.115 * bulk, 0.11 * bulk, 0.09 * bulk, 0.09 * bulk),
             outfit.upper, 1)
    )  # fmt: skip
    if outfit.coat:
        found.append(
            part((*hips, 3, 9), (0.115 * bulk, 0.115 * bulk, 0.085, 0.085), outfit.hem, int(outfit.hem is outfit.upper),
                 lift=0.05)
        )  # fmt: skip
    if outfit.pack:
        found.append(part((39, 40), (0.13, 0.12), outfit.extra))
    if outfit.bag:
        found.append(part((25, 26), (0.06, 0.12), outfit.extra, lift=0.05))
    return found + _head(points, near, outfit)


def _head(points: Floats, near: Floats, outfit: Outfit) -> list[_Part]:
    """Neck, skull in the colour of hair, and the face in front of it where the face looks this way."""
    size = 1.0 + outfit.hair_bulk
    jaw = 0.4 * points[_THROAT] + 0.6 * points[_HEAD]
    top = 0.55 * points[_HEAD] + 0.45 * points[_CROWN]
    scale = float(near[_HEAD])
    neck = _Part(
        points[[_NECK, _THROAT], :2], np.array([0.055, 0.05], np.float32) * scale,
        float(points[_NECK, 2]), outfit.skin,
    )  # fmt: skip
    skull = _Part(
        np.stack([jaw[:2], top[:2]]), np.array([0.078, 0.098], np.float32) * scale * size,
        float(points[_HEAD, 2]), outfit.hair,
    )  # fmt: skip
    face = points[38]
    shift = face[:2] - points[_HEAD, :2]
    front = _Part(
        np.stack([jaw[:2] + shift * 0.7, 0.5 * (jaw + top)[:2] + shift * 0.9]),
        np.array([0.064, 0.074], np.float32) * scale, float(face[2]), outfit.skin,
    )  # fmt: skip
    return [neck, skull, front]


def _painted(
    parts: Sequence[_Part], low: Floats, scale: float, size: tuple[int, int], outfit: Outfit, rng: np.random.Generator
) -> tuple[Pixels, Floats]:  # fmt: skip
    """All parts in their order on a canvas of `size` (width, height) whose corner is `low`."""
    width, height = size
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = np.array(outfit.lower)
    alpha = np.zeros((height, width), np.uint8)
    garment = np.zeros((height, width), np.uint8)
    angle = rng.uniform(0, 2 * math.pi)
    light = np.array([math.cos(angle), -0.6 - 0.4 * math.sin(angle)], np.float32)
    depth, gloss = rng.uniform(0.1, 0.5), rng.uniform(0.0, 0.25)
    for part in parts:
        centres, radii = (part.centres - low) * scale, part.radii * scale
        colour = np.array(part.colour)
        _fill(canvas, centres, radii + 1.6, colour * (1 - depth) * 0.6)
        _fill(alpha, centres, radii, 255)
        if outfit.pattern:
            _fill(garment, centres, radii, 255 * part.garment)
        for share, shift, bright in _TONES:
            tone = colour * (1 - depth + bright * (depth + gloss))
            _fill(canvas, centres + light * shift * radii[:, None], radii * share, tone)
    return _finished(canvas, alpha, garment, outfit, rng)


def _finished(
    canvas: Pixels, alpha: Pixels, garment: Pixels, outfit: Outfit, rng: np.random.Generator
) -> tuple[Pixels, Floats]:
    """Tones run into one another, folds of cloth, the pattern of the upper garment, light from above."""
    height, width = alpha.shape
    soft = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.8, 2.2)).astype(np.float32)
    cells = (max(2, height // int(rng.integers(5, 14))), max(2, width // int(rng.integers(4, 9))))
    folds = cv2.resize(rng.normal(1, rng.uniform(0.05, 0.2), cells).astype(np.float32), (width, height))
    fall = np.linspace(1 + rng.uniform(-0.1, 0.25), 1, height, dtype=np.float32)[:, None]
    soft *= (folds * fall)[..., None]
    if outfit.pattern:
        shown = (garment.astype(np.float32) / 255)[..., None]
        soft += shown * (pattern(outfit, (height, width), rng) - soft) * outfit.pattern_strength
    return soft.clip(0, 255).astype(np.uint8), np.asarray(alpha / np.float32(255), np.float32)


def _fill(canvas: Pixels, centres: Floats, radii: Floats, colour: float | NDArray[np.float64]) -> None:
    """The hull of circles in one colour, in place."""
    outline = (centres[:, None] + radii[:, None, None] * _ROUND).reshape(-1, 2)  # n 14 2 -> 14n 2
    hull = cv2.convexHull((outline * 2**_SUB).astype(np.int32))
    value = np.clip(np.broadcast_to(colour, (3,)), 0, 255).tolist()
    cv2.fillConvexPoly(canvas, hull, value if canvas.ndim == 3 else value[0], cv2.LINE_AA, _SUB)
