"""Training windows for a face detector: marked faces pasted onto pictures without faces, and whole pictures of faces.

Cut-and-paste synthesis (Dwibedi et al. 2017, arXiv:1708.01642: several ways of blending, so that no seam tells where an
object is, and distractors pasted the same way) with what faces meet: rotation, occlusion (medical masks as polygons
over the landmarks, as MaskTheFace, Anwar and Raychowdhury 2020, arXiv:2008.11104, places them; dark glasses, random
patches), light, blur, noise, JPEG, grey. Fragments of faces and pieces of background are pasted as distractors.

    mode      share  what the window shows
    paste     0.50   a background with 1 to 6 faces of 9 to 110 pixels, and distractors
    picture   0.38   one marked picture as a whole, within padding or cut: tight crops have no margin
    nothing   0.12   a background with distractors only

Every window comes from its own seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.face_boxes import MIRROR
from vitapps.datasets.synth.photo_faults import disturb, recolour, texture

Pixels = NDArray[np.uint8]  # H W 3
Floats = NDArray[np.float32]
PASTE, PICTURE = 0.50, 0.38
SIZES = (9.0, 110.0)


@dataclass(frozen=True, slots=True)
class Source:
    """A picture H W 3 with the one face in it: `box` x0 y0 x1 y1 and `points` 5 2, pixels."""

    pixels: Pixels
    box: Floats
    points: Floats


@dataclass(frozen=True, slots=True)
class Window:
    """`pixels` S S 3, `boxes` n 4 and `points` n 5 2 of the faces in it."""

    pixels: Pixels
    boxes: Floats
    points: Floats


@dataclass(frozen=True, slots=True)
class FaceComposites:
    """`make(seed)` draws one window of `size` pixels from groups of faces and pictures without faces.

    A group is drawn by the fourth root of its size, so that a small one counts; backgrounds are drawn evenly.
    """

    groups: Sequence[Sequence[Source]]
    backgrounds: Sequence[Pixels]
    size: int = 128

    def make(self, seed: int) -> Window:
        """The window of a seed, the same on every call."""
        rng = np.random.default_rng(seed)
        mode = rng.random()
        if mode < PASTE:
            pixels, faces = self._pasted(rng, int(rng.choice([1, 1, 1, 2, 2, 3, 4, 6])))
        elif mode < PASTE + PICTURE:
            pixels, faces = self._picture(rng)
        else:
            pixels, faces = self._pasted(rng, 0)
        kept = [face for face in faces if _counts(face[0], self.size)]
        smallest = min((_side(box) for box, _ in kept), default=self.size)
        return Window(
            disturb(pixels, rng, smallest),
            np.array([box for box, _ in kept], np.float32).reshape(-1, 4),
            np.array([points for _, points in kept], np.float32).reshape(-1, 5, 2),
        )

    def _source(self, rng: np.random.Generator) -> Source:
        share = np.array([len(group) for group in self.groups]) ** 0.25
        group = self.groups[int(rng.choice(len(self.groups), p=share / share.sum()))]
        source = group[int(rng.integers(len(group)))]
        if rng.random() < 0.5:
            source = _mirrored(source)
        pixels = recolour(source.pixels, rng)
        if rng.random() < 0.35:
            pixels = occlude(pixels, source, rng)
        return Source(pixels, source.box, source.points)

    def _background(self, rng: np.random.Generator) -> Pixels:
        """A crop of a picture at a random scale, turned over at random, or a texture."""
        if not self.backgrounds or rng.random() < 0.2:
            return texture(self.size, rng)
        picture = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        height, width = picture.shape[:2]
        side = min(height, width, round(self.size * math.exp(rng.uniform(-0.7, 1.1))))
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        crop = picture[y : y + side, x : x + side]
        crop = np.asarray(cv2.resize(crop, (self.size, self.size), interpolation=cv2.INTER_AREA), np.uint8)
        return recolour(crop[:, ::-1] if rng.random() < 0.5 else crop, rng)

    def _pasted(self, rng: np.random.Generator, number: int) -> tuple[Pixels, list[tuple[Floats, Floats]]]:
        pixels = self._background(rng)
        for _ in range(int(rng.integers(0, 4))):
            pixels = self._distract(pixels, rng)
        faces: list[tuple[Floats, Floats]] = []
        largest = SIZES[1] if number < 3 else SIZES[1] / 2
        for _ in range(number):
            source = self._source(rng)
            side = math.exp(rng.uniform(math.log(SIZES[0]), math.log(largest)))
            matrix = _placement(source.box, side, _angle(rng), rng.uniform(0, self.size, 2))
            box, points = _moved(source, matrix)
            if any(_overlap(box, other) > 0.05 for other, _ in faces):
                continue
            mask = _face_mask(source, rng)
            pixels = paste(pixels, source.pixels, mask, matrix)
            faces.append((box, points))
        return pixels, faces

    def _picture(self, rng: np.random.Generator) -> tuple[Pixels, list[tuple[Floats, Floats]]]:
        """One marked picture, mostly upright, as large as the window or somewhat smaller or larger."""
        source = self._source(rng)
        height, width = source.pixels.shape[:2]
        limit = SIZES[1] / _side(source.box)
        scale = min(limit, self.size / max(height, width) * math.exp(rng.uniform(-1.0, 0.5)))
        middle = np.array([width, height]) / 2
        matrix = _similarity(scale, _angle(rng) if rng.random() < 0.5 else 0.0)
        slack = abs(self.size - scale * max(height, width)) / 2
        goal = self.size / 2 + rng.uniform(-slack, slack, 2)
        matrix[:, 2] = goal - matrix[:, :2] @ middle
        canvas = self._background(rng)
        if rng.random() < 0.6:
            canvas = np.empty_like(canvas)
            canvas[:] = source.pixels.mean(axis=(0, 1)) if rng.random() < 0.7 else rng.integers(0, 256, 3)
        pixels = paste(canvas, source.pixels, np.ones((height, width), np.float32), matrix)
        return pixels, [_moved(source, matrix)]

    def _distract(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Paste a piece of background or a fragment of a face, by the same seams as faces."""
        if rng.random() < 0.35:
            piece = _fragment(self._source(rng), rng)
        else:
            piece = self._background(rng)
        height, width = piece.shape[:2]
        source = Source(piece, np.array([0, 0, width, height], np.float32), np.zeros((5, 2), np.float32))
        side = math.exp(rng.uniform(math.log(SIZES[0]), math.log(SIZES[1])))
        matrix = _placement(source.box, side, rng.uniform(-math.pi, math.pi), rng.uniform(0, self.size, 2))
        return paste(pixels, piece, _face_mask(source, rng), matrix)


def paste(canvas: Pixels, pixels: Pixels, mask: NDArray[np.float32], matrix: Floats) -> Pixels:
    """`pixels` h w 3 through `matrix` 2 3 onto `canvas` S S 3, blended by `mask` h w (0..1)."""
    size = (canvas.shape[1], canvas.shape[0])
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.7:  # average first: bilinear sampling would skip pixels
        small = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        ratio = np.array([pixels.shape[1] / small[0], pixels.shape[0] / small[1]], np.float32)
        pixels = np.asarray(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), np.uint8)
        mask = np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_AREA), np.float32)
        matrix = np.concatenate([matrix[:, :2] * ratio, matrix[:, 2:]], axis=1)
    there = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    return np.asarray(canvas * (1 - share) + there * share, np.float32).round().astype(np.uint8)


def occlude(pixels: Pixels, source: Source, rng: np.random.Generator) -> Pixels:
    """Cover a part of the face: a medical mask (most often), dark glasses, or a patch of one colour."""
    pixels = pixels.copy()
    kind = rng.random()
    colour = _cloth(rng)
    right, left, nose, mouth_right, mouth_left = source.points
    down = (mouth_right + mouth_left) / 2 - (right + left) / 2
    across = left - right
    chin = (mouth_right + mouth_left) / 2 + down * rng.uniform(0.45, 0.8)
    if kind < 0.65:
        top = nose - down * rng.uniform(0.05, 0.45)
        ear_right, ear_left = right + 0.45 * down - 0.45 * across, left + 0.45 * down + 0.45 * across
        low_right, low_left = mouth_right + 0.2 * down - 0.35 * across, mouth_left + 0.2 * down + 0.35 * across
        shape = np.array([top, ear_left, low_left, chin, low_right, ear_right])
        cv2.fillPoly(pixels, [shape.round().astype(np.int32)], colour, lineType=cv2.LINE_AA)
        for share in (0.3, 0.55, 0.8):  # folds
            a, b = ear_right + share * (chin - ear_right), ear_left + share * (chin - ear_left)
            fold = tuple(int(value * rng.uniform(0.75, 1.0)) for value in colour)
            cv2.line(pixels, _place(a), _place(b), fold, 1, cv2.LINE_AA)
    elif kind < 0.8:
        for eye in (right, left):
            axes = (max(1, int(0.33 * np.hypot(*across))), max(1, int(0.25 * np.hypot(*across))))
            cv2.ellipse(pixels, _place(eye), axes, 0, 0, 360, tuple(value // 4 for value in colour), -1, cv2.LINE_AA)
    else:
        x0, y0, x1, y1 = source.box
        at = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1)])
        reach = np.array([x1 - x0, y1 - y0]) * rng.uniform(0.12, 0.3, 2)
        cv2.rectangle(pixels, _place(at - reach), _place(at + reach), colour, -1)
    return pixels


def _cloth(rng: np.random.Generator) -> tuple[int, int, int]:
    kind = rng.random()
    if kind < 0.4:
        base = np.full(3, rng.uniform(170, 255))
    elif kind < 0.65:
        base = np.array([rng.uniform(90, 190), rng.uniform(150, 220), rng.uniform(180, 245)])
    elif kind < 0.85:
        base = np.full(3, rng.uniform(10, 70))
    else:
        base = rng.uniform(0, 255, 3)
    red, green, blue = (int(value) for value in (base + rng.normal(0, 8, 3)).clip(0, 255))
    return red, green, blue


def _face_mask(source: Source, rng: np.random.Generator) -> NDArray[np.float32]:
    """How the face is cut out: a soft ellipse round its box, the box, or the whole picture; h w, 0..1."""
    height, width = source.pixels.shape[:2]
    kind = rng.random()
    if kind < 0.2:
        return np.ones((height, width), np.float32)
    mask = np.zeros((height, width), np.float32)
    x0, y0, x1, y1 = source.box
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    half = np.array([x1 - x0, y1 - y0]) / 2 * rng.uniform(0.95, 1.35)
    if kind < 0.35:
        cv2.rectangle(mask, _place(np.array(middle) - half), _place(np.array(middle) + half), 1.0, -1)
    else:
        cv2.ellipse(mask, _place(np.array(middle)), (max(1, int(half[0])), max(1, int(half[1]))), 0, 0, 360, 1.0, -1)
    soft = rng.uniform(0.005, 0.08) * _side(source.box)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.3, soft)), np.float32)


def _fragment(source: Source, rng: np.random.Generator) -> Pixels:
    """A piece of a face too small to be one: a cheek, an eye, half a mouth."""
    side = max(6, round(_side(source.box) * rng.uniform(0.2, 0.4)))
    height, width = source.pixels.shape[:2]
    middle = source.points[int(rng.integers(5))] + rng.normal(0, 0.15 * _side(source.box), 2)
    x = int(np.clip(middle[0] - side / 2, 0, max(0, width - side)))
    y = int(np.clip(middle[1] - side / 2, 0, max(0, height - side)))
    return source.pixels[y : y + side, x : x + side]


def _mirrored(source: Source) -> Source:
    width = source.pixels.shape[1]
    x0, y0, x1, y1 = source.box
    points = source.points[MIRROR] * np.array([-1, 1], np.float32) + np.array([width, 0], np.float32)
    box = np.array([width - x1, y0, width - x0, y1], np.float32)
    return Source(np.ascontiguousarray(source.pixels[:, ::-1]), box, points)


def _angle(rng: np.random.Generator) -> float:
    """Radians, mostly small, at most 30 degrees."""
    return math.radians(float(np.clip(rng.normal(0, 13), -30, 30)))


def _similarity(scale: float, angle: float) -> Floats:
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0]], np.float32)


def _placement(box: Floats, side: float, angle: float, middle: NDArray[np.float64]) -> Floats:
    """The matrix that brings a box to `middle` with sides of the geometric mean `side`."""
    matrix = _similarity(side / _side(box), angle)
    matrix[:, 2] = middle - matrix[:, :2] @ ((box[:2] + box[2:]) / 2)
    return matrix


def _moved(source: Source, matrix: Floats) -> tuple[Floats, Floats]:
    """Box and points of a face through `matrix`; the box is that of the turned ellipse, as a detector would draw it."""
    middle = matrix[:, :2] @ ((source.box[:2] + source.box[2:]) / 2) + matrix[:, 2]
    half = (source.box[2:] - source.box[:2]) / 2
    reach = np.hypot(matrix[:, 0] * half[0], matrix[:, 1] * half[1])
    points = source.points @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([middle - reach, middle + reach]).astype(np.float32), points.astype(np.float32)


def _counts(box: Floats, size: int) -> bool:
    """Whether enough of a face lies in the window to be asked for."""
    middle = (box[:2] + box[2:]) / 2
    sides = np.minimum(box[2:], size) - np.maximum(box[:2], 0)
    seen = float(np.maximum(sides, 0).prod() / (box[2:] - box[:2]).prod())
    return bool((middle > 2).all() and (middle < size - 2).all() and seen > 0.6)


def _overlap(first: Floats, second: Floats) -> float:
    """The common area as a share of the smaller box."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    return float(np.maximum(sides, 0).prod() / min(_side(first), _side(second)) ** 2)


def _side(box: Floats) -> float:
    return float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1e-6)))


def _place(point: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
