"""Small clips written with PyAV: the grey of a frame is its number, so that a reader can be asked which it got."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

STEP = 4  # grey values between neighbouring frames: more than coding loss


def grey_frame(number: int, width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """One grey, with a bright corner at the top left."""
    pixels = np.full((height, width, 3), 16 + STEP * number, np.uint8)
    pixels[: height // 4, : width // 4] = 250
    return pixels


def number_of(pixels: NDArray[np.uint8]) -> int:
    """Which `grey_frame` this is, by its middle."""
    height, width = pixels.shape[:2]
    return round((float(pixels[height // 2 :, width // 2 :].mean()) - 16) / STEP)


def write_clip(
    path: Path, *, frames: int = 20, times: Sequence[float] | None = None, size: tuple[int, int] = (64, 48),
    gop: int = 8, sound: bool = False, codec: str = "libx264",
) -> Path:  # fmt: skip
    """`frames` grey frames at 25 a second, or at `times`; with `sound`, a tone of the same length."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 12800) if codec == "libx264" else Fraction(1, 25)
        stream.codec_context.gop_size = gop
        stream.options = {"crf": "10"} if codec == "libx264" else {}
        tone = out.add_stream("aac", rate=16000) if sound else None
        moments = times or [number / 25 for number in range(frames)]
        for number, moment in enumerate(moments):
            frame = av.VideoFrame.from_ndarray(grey_frame(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(moment * 12800), Fraction(1, 12800)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if tone is not None:
            _write_tone(out, tone, moments[-1] + 0.04)
    return path


def _write_tone(out: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    samples = np.sin(np.arange(int(16000 * seconds)) * 0.2).astype(np.float32)
    for first in range(0, len(samples) - 1023, 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, first
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def turn_clip(path: Path, degrees: int) -> None:
    """Write a rotation (clockwise, 90, 180 or 270) into the track header of an MP4, as phones do."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd")
    version = content[place + 4]
    matrix = place + 4 + (52 if version else 40)
    one = 1 << 16
    corners = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    a, b, c, d = corners
    content[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))


def squares(
    frames: int = 30, size: tuple[int, int] = (160, 120), side: int = 24, speed: tuple[float, float] = (2.0, 1.0)
) -> tuple[list[NDArray[np.uint8]], list[tuple[float, float, float, float]]]:
    """A textured square that moves over a textured background: frames H W 3, and its boxes x y w h."""
    rng = np.random.default_rng(0)
    width, height = size
    ground = np.kron(rng.integers(60, 200, (height // 8, width // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    patch = np.kron(rng.integers(0, 256, (side // 4, side // 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    pictures, boxes = [], []
    for number in range(frames):
        x, y = round(20 + speed[0] * number), round(20 + speed[1] * number)
        picture = ground.copy()
        picture[y : y + side, x : x + side] = patch
        pictures.append(picture)
        boxes.append((float(x), float(y), float(side), float(side)))
    return pictures, boxes
