"""Self-blended images: a real face laid over itself with small differences, so that only the blending is false.

Recipe of Shiohara and Yamasaki 2022 (CVPR, section 3.1 and 3.2), by five landmarks in the place of 81:

    mask        one of four hulls around the landmarks, bent by an elastic field (as their eq. 3), smoothed twice, the
                second time by another width, and weakened by 0.25, 0.5, 0.75 or (three times as often) not
    source      the face after a shift of up to 3 % and a scale of 0.95 to 1.05
    difference  colour shift, saturation, brightness and contrast, sharpening or scaling down and up, of one of both
    after       both the blend and the untouched face pass the same JPEG and the same scaling

Deviations: hulls of five points know no cheeks or brows, so the four are an ellipse of the face, one without the
forehead, the lower face, and the eyes with the nose; the last steps are drawn once for a pair, so that a model cannot
tell the two apart by compression. It teaches the traces of blending: not generated pictures, not talking-head models.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
_ELASTIC = 7.0  # deviation of the smoothing of the elastic field at 224 pixels


def self_blend(face: Image, landmarks: NDArray[np.floating], seed: int) -> tuple[Image, Image, Floats]:
    """A face H W 3 uint8 and its landmarks 5 2 (eyes, nose, mouth corners, in pixels) -> the untouched face and its
    blend, both after the same processing, and the blending mask H W in 0..1."""
    rng = np.random.default_rng(seed)
    mask = blending_mask(face.shape[0], face.shape[1], landmarks, rng)
    source, target = face.astype(np.float32), face.astype(np.float32)
    if rng.random() < 0.5:
        source = altered(source, rng)
    else:
        target = altered(target, rng)
    source = moved(source, rng)
    blended = (target + mask[..., None] * (source - target)).clip(0, 255).astype(np.uint8)
    after = int(rng.integers(1 << 31))
    return _shipped(face, np.random.default_rng(after)), _shipped(blended, np.random.default_rng(after)), mask


def blending_mask(height: int, width: int, landmarks: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """H W in 0..1."""
    points = _hull(np.asarray(landmarks, np.float64), int(rng.integers(4)))
    mask = np.zeros((height, width), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.round().astype(np.int32)), (1.0,))
    mask = _elastic(mask, rng)
    first, second = rng.uniform(0.01, 0.05, 2) * width
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), first), np.float32)
    mask = np.where(mask > 0.5, mask, mask * rng.uniform(0.6, 1.0)).astype(np.float32)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), second), np.float32)
    return np.asarray(mask / max(float(mask.max()), 1e-6) * rng.choice(_RATIOS), np.float32)


def _hull(points: NDArray[np.float64], kind: int) -> NDArray[np.float64]:
    """Corners N 2 of a convex shape around the landmarks 5 2."""
    right, left, nose, mouth_right, mouth_left = points
    across, eyes = left - right, (left + right) / 2
    mouth = (mouth_right + mouth_left) / 2
    down = mouth - eyes
    if kind == 0:  # the whole face
        return _ellipse(eyes + 0.45 * down, 0.95 * across, 1.25 * down)
    if kind == 1:  # brows to chin
        return _ellipse(eyes + 0.6 * down, 0.85 * across, 1.0 * down)
    if kind == 2:  # nose to chin
        return _ellipse(eyes + 1.0 * down, 0.75 * across, 0.7 * down)
    corners = [right - 0.4 * across - 0.35 * down, left + 0.4 * across - 0.35 * down, nose + 0.25 * down]
    return np.array([*corners, right - 0.4 * across + 0.3 * down, left + 0.4 * across + 0.3 * down])


def _ellipse(
    centre: NDArray[np.float64], across: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    return centre + np.cos(angles) * across + np.sin(angles) * down


def _elastic(mask: Floats, rng: np.random.Generator) -> Floats:
    height, width = mask.shape
    sigma, strength = _ELASTIC * width / 224, rng.uniform(0.01, 0.04) * width
    field = []
    for _ in range(2):
        smooth = np.asarray(cv2.GaussianBlur(rng.uniform(-1, 1, mask.shape).astype(np.float32), (0, 0), sigma))
        field.append(smooth / max(float(np.abs(smooth).max()), 1e-6) * strength)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bent = cv2.remap(mask, x + field[0].astype(np.float32), y + field[1].astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(bent, np.float32)


def altered(picture: Floats, rng: np.random.Generator) -> Floats:
    """The statistical difference between source and target: colours, then sharpness."""
    picture = picture + rng.uniform(-20, 20, 3).astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * rng.uniform(0.7, 1.3)
    picture = (picture - 128) * rng.uniform(0.9, 1.1) + 128 + rng.uniform(-10, 10)
    picture = np.asarray(picture, np.float32)
    if rng.random() < 0.5:
        soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.7, 1.5))
        return np.asarray(picture + rng.uniform(0.3, 0.8) * (picture - soft), np.float32)
    height, width = picture.shape[:2]
    factor = float(rng.uniform(1.5, 4.0))
    small = cv2.resize(picture, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (width, height), interpolation=way), np.float32)


def moved(picture: Floats, rng: np.random.Generator) -> Floats:
    height, width = picture.shape[:2]
    scale = rng.uniform(0.95, 1.05)
    shift = rng.uniform(-0.03, 0.03, 2) * (width, height)
    matrix = np.array([[scale, 0, (1 - scale) * width / 2 + shift[0]], [0, scale, (1 - scale) * height / 2 + shift[1]]])
    moved = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32)


def scaled_and_blurred(picture: Image, rng: np.random.Generator) -> Image:
    """What happens to a picture on its way, before it is compressed."""
    height, width = picture.shape[:2]
    if rng.random() < 0.4:
        factor = rng.uniform(0.6, 1.0)
        small = cv2.resize(picture, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.0)), np.uint8)
    return picture


def _shipped(picture: Image, rng: np.random.Generator) -> Image:
    """Scaling, blur, JPEG of quality 40 to 100."""
    picture = scaled_and_blurred(picture, rng)
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 101))])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
