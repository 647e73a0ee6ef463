"""An upright face as the expression model sees it: grey in even light, framed as in FER2013, and its descriptors.

FER2013 (Goodfellow et al. 2013, arXiv:1307.0414) shows faces of 48 x 48 pixels, roughly centred; `FRAME` is where the
landmarks lie in them on the average, so that any found face can be brought into the same frame.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from vitapps.pipelines.face.align import similarity
from vitapps.pipelines.face.descriptors import Row, gabor, hog, lbp
from vitapps.pipelines.face.faces import Floats, Pixels
from vitapps.pipelines.face.landmark_cascade import LandmarkCascade

SIZE = 64  # pixels a side
FRAME = np.array([[0.303, 0.366], [0.697, 0.366], [0.5, 0.593], [0.352, 0.753], [0.648, 0.753]])  # shares, x y
_SEEN = 96  # pixels to which a tight crop is brought before its landmarks are sought


def framed(pixels: Pixels, landmarks: Floats) -> Pixels:
    """The face of a picture H W 3 in FER2013's frame, histogram equalised; SIZE SIZE uint8."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    matrix = similarity(landmarks - 0.5, FRAME * SIZE - 0.5)  # OpenCV counts from pixel centres
    found = cv2.warpAffine(grey, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cast(Pixels, cv2.equalizeHist(found))


def crop_landmarks(pixels: Pixels, cascade: LandmarkCascade) -> tuple[Pixels, Floats]:
    """A picture that is a face already, at a size that the cascade knows, with landmarks sought from `FRAME`."""
    way = cv2.INTER_AREA if min(pixels.shape[:2]) > _SEEN else cv2.INTER_CUBIC
    sized = cast(Pixels, cv2.resize(pixels, (_SEEN, _SEEN), interpolation=way))
    return sized, cascade.refine(sized, FRAME * _SEEN)


def describe_expression(face: Pixels) -> Row:
    """Gradient histograms of two scales, Gabor energies and binary patterns of a framed face SIZE SIZE; D."""
    grey = face.astype(np.float32) / np.float32(255)
    half = np.asarray(cv2.resize(grey, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA), np.float32)
    return np.concatenate([hog(grey, 8), hog(half, 8), gabor(grey), lbp(grey, 1)])
