"""A clip for `vitapps demo`: a striped boat crosses painted water, turns, grows and passes behind a pole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.mask_series import write_index_png
from vitapps.datasets.formats.video_write import open_writer

Picture = NDArray[np.uint8]
SIZE = (360, 640)  # H W
FRAMES = 72
RATE = 24.0
FIRST_BOX = (61, 174, 78, 35)  # x y w h of the boat in the first frame


def write_moving_clip(path: Path) -> None:
    """Write the clip (3 s, 640 x 360, H.264) to `path`."""
    with open_writer(path, rate=RATE, quality=20) as writer:
        for number, picture in enumerate(frames()):
            writer.add(picture, number / RATE)


def write_clip_with_mask(path: Path) -> None:
    """The same clip, and the mask of the boat in its first frame beside it: `boat.mp4`, `boat.mp4.png`."""
    write_moving_clip(path)
    mask = cv2.warpAffine(_boat()[1], _place(0.0), (SIZE[1], SIZE[0]))
    write_index_png(path.with_name(f"{path.name}.png"), (np.asarray(mask) > 127).astype(np.uint8))


def frames() -> Iterator[Picture]:
    """Its frames, H W 3; the same ones every time."""
    rng = np.random.default_rng(7)
    ground = _water(rng)
    boat, alpha = _boat()
    for number in range(FRAMES):
        share = number / (FRAMES - 1)
        camera = np.array([60 * share, 10 * np.sin(5 * share)])
        matrix = np.array([[1.0, 0, -40 - camera[0]], [0, 1.0, -30 - camera[1]]])
        water = cv2.warpAffine(ground, matrix, (SIZE[1], SIZE[0]), flags=cv2.INTER_LINEAR)
        view = _lay(np.asarray(water, np.uint8), boat, alpha, share)
        x = round(420 - camera[0])
        cv2.rectangle(view, (x, 0), (x + 15, SIZE[0]), (92, 78, 66), -1)  # the pole
        cv2.rectangle(view, (x, 0), (x + 4, SIZE[0]), (128, 112, 96), -1)
        yield view


def _water(rng: np.random.Generator) -> Picture:
    """Noise of several scales, stretched along the waves."""
    height, width = SIZE[0] + 80, SIZE[1] + 160
    total = np.zeros((height, width), np.float32)
    for scale, weight in ((4, 0.25), (10, 0.35), (28, 0.5), (90, 0.8)):
        coarse = rng.normal(0, 1, (height // scale + 2, width // (2 * scale) + 2)).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    light = np.clip(0.5 + 0.22 * total, 0, 1)[..., None]
    return np.asarray(light * np.array([96, 160, 184]) + (1 - light) * np.array([18, 62, 96]), np.uint8)


def _boat() -> tuple[Picture, Picture]:
    """A hull with stripes, a cabin and a window: pixels 80 160 3, alpha 80 160."""
    pixels, alpha = np.zeros((80, 160, 3), np.uint8), np.zeros((80, 160), np.uint8)
    hull = np.array([[2, 40], [158, 40], [132, 78], [24, 78]], np.int32)
    for canvas, colour in ((pixels, (214, 64, 48)), (alpha, 255)):
        cv2.fillPoly(canvas, [hull], colour)
        cv2.rectangle(canvas, (48, 8), (104, 40), (240, 232, 214) if colour != 255 else 255, -1)
    for x in (20, 56, 92, 128):
        cv2.rectangle(pixels, (x, 46), (x + 16, 60), (248, 244, 236), -1)
    cv2.rectangle(pixels, (60, 15), (76, 28), (40, 72, 104), -1)
    cv2.rectangle(pixels, (84, 15), (96, 28), (40, 72, 104), -1)
    return pixels, alpha


def _lay(view: Picture, boat: Picture, alpha: Picture, share: float) -> Picture:
    """The boat at its place of the moment, soft at its edge."""
    matrix, size = _place(share), (SIZE[1], SIZE[0])
    over = cv2.warpAffine(boat, matrix, size, flags=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(cv2.warpAffine(alpha, matrix, size), (0, 0), 0.7)[..., None].astype(np.float32) / 255
    return np.asarray(view + (over - view.astype(np.float32)) * soft, np.uint8)


def _place(share: float) -> NDArray[np.float64]:
    """Where the boat's own pixels go, 2 3."""
    scale, angle = 0.48 + 0.3 * share, 0.16 * np.sin(9 * share)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([100 + 400 * share, 190 + 60 * np.sin(2.6 * share)])
    return np.column_stack([turn, middle - turn @ np.array([80, 40])])
