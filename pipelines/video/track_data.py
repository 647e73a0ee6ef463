"""What the tracker is trained on: photographs and frames found below folders, and tracks that optical flow found."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.picture import read_picture
from vitapps.datasets.formats.video_read import VIDEO_SUFFIXES, open_clip
from vitapps.datasets.synth.tracking import Seen
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.video.flow import follow_boxes

log = logging.getLogger("vitapps.video")

Picture = NDArray[np.uint8]
LONGEST = 512  # pixels: photographs are stored no larger
LEAST = 96  # pixels: smaller pictures are no backgrounds
PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def read_photos(folders: Sequence[Path], limit: int) -> list[Picture]:
    """Up to `limit` pictures below each of `folders`, evenly chosen, and three frames of every clip; H W 3.

    Raises UnreadableInputError for folders without any.
    """
    photos: list[Picture] = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
        for path in files[:: max(1, len(files) // max(1, limit))][:limit]:
            photos += _usable(path)
        for path in find_clips([folder]):
            photos += _frames(path, 3)
    if not photos:
        raise UnreadableInputError(f"{', '.join(map(str, folders))}: no pictures", hint="give folders of photographs")
    return photos


def find_clips(folders: Sequence[Path]) -> list[Path]:
    """Video files below the folders, sorted."""
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)


def read_tracks_of_clips(clips: Sequence[Path], seed: int, *, boxes: int = 8, length: int = 24) -> list[list[Seen]]:
    """Tracks of moving places in the clips, each of up to `length` frames, every second frame kept.

    No label is used: a place is kept as long as optical flow leads forth and back to where it began (`flow.py`).
    """
    rng = np.random.default_rng(seed)
    tracks: list[list[Seen]] = []
    for path in clips:
        try:
            frames = [_small(frame.pixels) for frame in _read(path, 2 * length)][::2]
        except UnreadableInputError as error:
            log.warning("%s", error)
            continue
        if len(frames) >= 4:
            tracks += _tracks(frames, boxes, rng)
    return tracks


def _tracks(frames: Sequence[Picture], number: int, rng: np.random.Generator) -> list[list[Seen]]:
    grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames]
    starts = _moving_places(grey, number, rng)
    paths = follow_boxes(grey, starts)
    jpegs = [cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for frame in frames]
    return [
        [Seen(jpeg=jpeg, box=tuple(box)) for jpeg, box in zip(jpegs, path, strict=False)]
        for path in paths
        if len(path) >= 4
    ]


def _moving_places(grey: Sequence[Picture], number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """n 4 boxes of random size in the first frame, most of them where much changes soon after."""
    height, width = grey[0].shape
    change = cv2.GaussianBlur(cv2.absdiff(grey[0], grey[min(2, len(grey) - 1)]).astype(np.float32), (0, 0), 8)
    weight = (change + 0.1 * change.mean() + 1e-3).astype(np.float64)
    picked = rng.choice(weight.size, number, p=(weight / weight.sum()).ravel())
    boxes = []
    for place in picked:
        size = np.exp(rng.uniform(np.log(20), np.log(min(height, width) / 2.5)))
        aspect = np.exp(rng.normal(-0.3, 0.4))  # upright more often: most of what moves is a person
        half = np.array([size * aspect**0.5, size / aspect**0.5]) / 2
        at = np.array([place % width, place // width])
        low, high = np.maximum(at - half, 0), np.minimum(at + half, [width, height])
        boxes.append(np.concatenate([low, high]))
    return np.array(boxes)


def _usable(path: Path) -> list[Picture]:
    try:
        pixels = read_picture(path).pixels
    except UnreadableInputError:
        return []
    small = _small(pixels)
    return [small] if min(small.shape[:2]) >= LEAST and small.std() > 12 else []


def _frames(path: Path, number: int) -> list[Picture]:
    try:
        with open_clip(path, threads=1) as clip:
            total = len(clip.times())
            wanted = [round((part + 0.5) * total / number) for part in range(number)]
            found = [_small(frame.pixels) for frame in clip.frames_at([min(place, total - 1) for place in wanted])]
    except UnreadableInputError:
        return []
    return [picture for picture in found if min(picture.shape[:2]) >= LEAST and picture.std() > 12]


def _read(path: Path, limit: int) -> Iterator[Any]:
    with open_clip(path, threads=1) as clip:
        for frame in clip.frames():
            yield frame
            if frame.index + 1 >= limit:
                return


def _small(pixels: Picture) -> Picture:
    """No side above `LONGEST`."""
    scale = LONGEST / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
