"""Quality of a found face: size, sharpness, light, and the pose that five landmarks tell.

Pose is that of a scaled orthographic camera (POS, DeMenthon and Davis 1995, IJCV 15, eq. 5-8) on a mean face: with five
points it is good to some ten degrees, enough to tell a frontal face from a profile.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vitapps.pipelines.face.align import align
from vitapps.pipelines.face.faces import FaceQuality, Floats, Pixels

# Eyes, nose tip, mouth corners of a mean head in units of the distance between the eyes: x viewer's right, y down,
# z away from the viewer.
_MEAN_HEAD = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0, 0.55, -0.45], [-0.4, 1.1, -0.05], [0.4, 1.1, -0.05]])
_SHARP = 60.0  # variance of the Laplacian of an aligned 112-pixel crop that counts as half sharp
_BLACK, _WHITE = 8, 247


def judge(pixels: Pixels, box: Floats, landmarks: Floats) -> FaceQuality:
    """Quality of the face at `box` (x0 y0 x1 y1) with `landmarks` 5 2 in a picture H W 3."""
    grey = cv2.cvtColor(align(pixels, landmarks), cv2.COLOR_RGB2GRAY)
    variance = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    yaw, pitch, roll = pose(landmarks)
    return FaceQuality(
        size=float(min(box[2] - box[0], box[3] - box[1])),
        sharpness=variance / (variance + _SHARP),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        brightness=float(grey.mean()) / 255,
        clipped=float(((grey <= _BLACK) | (grey >= _WHITE)).mean()),
        inside=_inside(box, pixels.shape[1], pixels.shape[0]),
    )


def pose(landmarks: Floats) -> tuple[float, float, float]:
    """Yaw, pitch, roll in degrees of landmarks 5 2; the signs are those of `FaceQuality`."""
    head = _MEAN_HEAD - _MEAN_HEAD.mean(axis=0)
    seen = landmarks - landmarks.mean(axis=0)
    rows = np.linalg.lstsq(head, seen, rcond=None)[0].T  # 2 3: scaled first two rows of the rotation
    across, down = (row / max(float(np.linalg.norm(row)), 1e-9) for row in rows)
    yaw = math.degrees(math.asin(min(1.0, max(-1.0, -across[2]))))
    pitch = math.degrees(math.asin(min(1.0, max(-1.0, down[2]))))
    return yaw, pitch, math.degrees(math.atan2(-across[1], across[0]))


def _inside(box: Floats, width: int, height: int) -> float:
    sides = np.maximum(np.minimum(box[2:], (width, height)) - np.maximum(box[:2], 0), 0)
    return float(sides.prod() / max(float((box[2:] - box[:2]).prod()), 1e-9))
