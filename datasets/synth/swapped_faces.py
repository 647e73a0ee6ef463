"""Swap-like blends: another face, or the same one as a network would redraw it, blended over a real face.

Self-blends (`self_blended.py`) differ little from their target by design. A swap differs in more: its face was drawn at
64 to 256 pixels and enlarged, has lost the camera's noise, took on the target's colours, and the whole then passed a
video codec. Three kinds of blend, drawn at random:

    self      a self-blend before its compression (Shiohara and Yamasaki 2022)
    redrawn   the same face at a low resolution and without noise, colours of the target
    other     another person's face laid on by five landmarks (Li et al. 2020, Face X-ray, section 3.2: blended images),
              colours of the target after Reinhard et al. 2001

Then scaling, blur, a cast of colour, noise, and JPEG or H.264 (crf 18 to 36), each or not; drawn once for a pair, so
that only the blending differs. Every untouched face is a real one, and no swap that somebody published is used.
"""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.synth.self_blended import Floats, Image, altered, blending_mask, moved, scaled_and_blurred

_KINDS = ("self", "redrawn", "other")
Marks = NDArray[np.floating]


def swap_like(face: Image, marks: Marks, other: Image, other_marks: Marks, seed: int) -> tuple[Image, Image, Floats]:
    """A face H W 3 uint8 with landmarks 5 2, and another one: the untouched face and its blend, both after the same
    processing, and the blending mask H W in 0..1. One seed gives one result."""
    rng = np.random.default_rng(seed)
    mask = blending_mask(face.shape[0], face.shape[1], marks, rng)
    target = face.astype(np.float32)
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    if kind == "self":
        source = target
        if rng.random() < 0.5:
            source = altered(source, rng)
        else:
            target = altered(target, rng)
        source = moved(source, rng)
    elif kind == "redrawn":
        source = _coloured(_redrawn(moved(target, rng), marks, rng), target, mask, rng)
    else:
        laid = _laid_on(other, other_marks, face.shape, marks)
        source = _coloured(_redrawn(laid, marks, rng) if rng.random() < 0.7 else laid, target, mask, rng)
    blended = (target + mask[..., None] * (source - target)).clip(0, 255).astype(np.uint8)
    after = int(rng.integers(1 << 31))
    return _shipped(face, after), _shipped(blended, after), mask


def through_h264(picture: Image, crf: int) -> Image:
    """The picture H W 3 as the first frame of an H.264 clip, 4:2:0, of the same size."""
    height, width = picture.shape[:2]
    border = (0, height % 2, 0, width % 2)
    even = np.asarray(cv2.copyMakeBorder(picture, *border, cv2.BORDER_REPLICATE), np.uint8)
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as clip:
        stream = clip.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast", "threads": "1"})
        stream.height, stream.width, stream.pix_fmt = even.shape[0], even.shape[1], "yuv420p"
        clip.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        clip.mux(stream.encode(None))
    data.seek(0)
    with av.open(data, "r") as made:
        frame = np.asarray(next(made.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)
    return np.ascontiguousarray(frame[:height, :width])


def _redrawn(picture: Floats, marks: Marks, rng: np.random.Generator) -> Floats:
    """As a network draws a face: eyes 12 to 40 pixels apart, without noise, then enlarged."""
    apart = float(np.hypot(*(marks[1] - marks[0])))
    height, width = picture.shape[:2]
    factor = min(1.0, float(rng.uniform(12, 40)) / max(apart, 1.0))
    size = max(8, round(width * factor)), max(8, round(height * factor))
    small = np.asarray(cv2.resize(picture.clip(0, 255), size, interpolation=cv2.INTER_AREA), np.float32)
    small = np.asarray(cv2.bilateralFilter(small, 5, float(rng.uniform(4, 20)), 2.0), np.float32)
    way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (width, height), interpolation=way), np.float32)


def _laid_on(other: Image, other_marks: Marks, shape: tuple[int, ...], marks: Marks) -> Floats:
    """The other face turned, scaled and shifted so that its landmarks lie near `marks`."""
    matrix, _ = cv2.estimateAffinePartial2D(np.asarray(other_marks, np.float32), np.asarray(marks, np.float32))
    laid = cv2.warpAffine(
        other, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )  # fmt: skip
    return np.asarray(laid, np.float32)


def _coloured(source: Floats, target: Floats, mask: Floats, rng: np.random.Generator) -> Floats:
    """Mean and deviation of each colour moved most of the way to those of the target under the mask."""
    inside = mask > 0.3 * mask.max()
    share = float(rng.uniform(0.6, 1.0))
    mine, goal = source[inside], target[inside]  # N 3
    gain = ((goal.std(axis=0) + 1) / (mine.std(axis=0) + 1)).clip(0.5, 2.0)
    fitted = (source - mine.mean(axis=0)) * gain + goal.mean(axis=0)
    return np.asarray(source + share * (fitted - source), np.float32)


def _shipped(picture: Image, seed: int) -> Image:
    """Scaling and blur, a cast of colour, noise, then a video codec or JPEG."""
    rng = np.random.default_rng(seed)
    picture = scaled_and_blurred(picture, rng)
    if rng.random() < 0.25:
        picture = (picture * rng.uniform(0.6, 1.2, 3) + rng.uniform(-20, 20, 3)).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        picture = (picture + rng.normal(0, rng.uniform(2, 12), picture.shape)).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        return through_h264(picture, int(rng.integers(18, 37)))
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 101))])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
