"""Crops, features and network inputs of folders of live faces and attacks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.sets.presentation_attacks import Presentation
from vitapps.pipelines.face.face_views import cut_out
from vitapps.pipelines.face.texture import texture
from vitapps.progress import Progress, null_progress


def crop_of(item: Presentation) -> NDArray[np.uint8]:
    """The face of one picture, H W 3."""
    pixels = read_picture(item.path).pixels
    return pixels if item.box is None else cut_out(pixels, item.box)


def features_of(items: Sequence[Presentation], progress: Progress = null_progress) -> NDArray[np.float32]:
    """Texture features N D."""
    return np.asarray(two_features_of(items, progress, smoothed=False)[0], np.float32)


def two_features_of(
    items: Sequence[Presentation], progress: Progress = null_progress, *, smoothed: bool = True
) -> NDArray[np.float32]:
    """Texture features 2 N D of the faces and of the same `smooth`; 1 N D without these."""
    with progress.task("features", total=len(items)) as task:
        found = []
        for item in items:
            crop = crop_of(item)
            found.append([texture(face) for face in (crop, *([smooth(crop)] if smoothed else []))])
            task.advance()
    return np.stack(found, axis=1)


def smooth(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop H W 3 without its finest noise: five grey levels of it made nine of ten attacks pass for live, and none of
    them once it was smoothed so (docs/face_trust.md)."""
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), 1.0), np.uint8)


def face_of(crop: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A crop H W 3 at the size of the network."""
    way = cv2.INTER_AREA if crop.shape[0] > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (side, side), interpolation=way), np.uint8)


def as_input(faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """B H W 3 uint8 -> B 3 H W in 0..1."""
    return np.ascontiguousarray(np.stack(faces).transpose(0, 3, 1, 2), np.float32) / np.float32(255)
