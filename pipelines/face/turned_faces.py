"""Faces that are tilted, lie on their side or stand on their head: the picture is searched in several turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from vitapps.pipelines.face.align import inverse, moved
from vitapps.pipelines.face.faces import Face, Floats, Pixels
from vitapps.pipelines.face.find_faces import FaceFinder, FindSettings
from vitapps.pipelines.windows.boxes import nms

TILT = 35.0  # degrees: the finder by itself reaches about 25
_SAME = 0.4  # IoU from which two turns saw one face


def find_turned(
    finder: FaceFinder, pixels: Pixels, settings: FindSettings, *, quarters: bool = True, tilted: bool = False
) -> tuple[Face, ...]:
    """Faces of a picture H W 3 by falling score, each as the turn shows it in which it scores best. `quarters`: in all
    four quarter turns; `tilted`: each of the turns also tilted by `TILT` degrees to both sides. As many times the work
    as turns, and as many chances of a false one."""
    height, width = pixels.shape[:2]
    found = []
    for turns in range(4) if quarters else (0,):
        quarter = np.ascontiguousarray(np.rot90(pixels, turns))
        seen = [*finder.find(quarter, settings), *(_tilted(finder, quarter, settings) if tilted else ())]
        found += [_turned_back(face, turns, (width, height)) for face in seen]
    if not found:
        return ()
    boxes, scores = np.stack([face.box for face in found]), np.array([face.score for face in found])
    return tuple(found[place] for place in nms(boxes, scores, _SAME)[: settings.most])


def _tilted(finder: FaceFinder, pixels: Pixels, settings: FindSettings) -> Iterator[Face]:
    """Faces that stand upright once the picture is turned by `TILT` to the left or right. Their boxes keep their size
    about the same middle: an upright box around a tilted one would be larger than its face."""
    for tilt in (-TILT, TILT):
        there, size = tilt_about_middle((pixels.shape[1], pixels.shape[0]), tilt)
        back = inverse(there)
        for face in finder.find(np.asarray(cv2.warpAffine(pixels, there, size), np.uint8), settings):
            middle = (face.box[:2] + face.box[2:]) / 2
            box = face.box + np.tile(moved(middle[None], back)[0] - middle, 2)
            marks, roll = moved(face.landmarks, back), face.quality.roll + tilt
            yield replace(face, box=box, landmarks=marks, quality=replace(face.quality, roll=roll))


def tilt_about_middle(size: tuple[int, int], degrees: float) -> tuple[Floats, tuple[int, int]]:
    """The turn 2 3 of a picture of width and height `size` about its middle, counter-clockwise, onto a picture that
    holds all of it, and the width and height of that."""
    matrix = np.asarray(cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), degrees, 1.0), np.float64)
    whole = np.ceil(np.abs(matrix[:, :2]) @ size).astype(int)
    matrix[:, 2] += (whole - size) / 2
    return matrix, (int(whole[0]), int(whole[1]))


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
