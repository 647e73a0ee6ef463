"""Faces that lie on their side or stand on their head: the picture is searched in all four quarter turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vitapps.pipelines.face.faces import Face, Floats, Pixels
from vitapps.pipelines.face.find_faces import FaceFinder, FindSettings
from vitapps.pipelines.windows.boxes import nms

_SAME = 0.4  # IoU from which two turns saw one face


def find_turned(finder: FaceFinder, pixels: Pixels, settings: FindSettings) -> tuple[Face, ...]:
    """Faces of a picture H W 3 by falling score, each as the turn shows it in which it scores best; four times the
    work, and four times the chances of a false one."""
    height, width = pixels.shape[:2]
    found = [
        _turned_back(face, turns, (width, height))
        for turns in range(4)
        for face in finder.find(np.ascontiguousarray(np.rot90(pixels, turns)), settings)
    ]
    if not found:
        return ()
    boxes, scores = np.stack([face.box for face in found]), np.array([face.score for face in found])
    return tuple(found[place] for place in nms(boxes, scores, _SAME)[: settings.most])


def turned_back(points: Floats, turns: int, size: tuple[int, int]) -> Floats:
    """Points n 2 of a picture that was turned left by `turns` quarters, in pixels of the picture before; `size` is the
    width and height of that."""
    for step in reversed(range(turns)):
        before = size[step % 2]  # width before this quarter
        points = np.stack([before - points[:, 1], points[:, 0]], axis=1)
    return points


def _turned_back(face: Face, turns: int, size: tuple[int, int]) -> Face:
    corners = turned_back(face.box.reshape(2, 2), turns, size)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    landmarks = turned_back(face.landmarks, turns, size)
    roll = (face.quality.roll + 90 * turns + 180) % 360 - 180  # all else as upright
    return replace(face, box=box, landmarks=landmarks, quality=replace(face.quality, roll=roll))
