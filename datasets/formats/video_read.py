"""Clips: every container and codec that FFmpeg reads, folders and numbered series of pictures, streams by URL.

    with open_clip("clip.mp4") as clip:
        for frame in clip.frames(start=2.0, stride=5):
            frame.index, frame.time_s, frame.pixels  # H W 3 uint8

A frame comes out as a player shows it: the best video stream, rotation metadata applied, non-square pixels made square,
colours by the stream's own matrix and range, transparency over white. Time is the presentation timestamp, never number
divided by rate. One frame is in memory at a time. The network is touched only for a URL that the caller gives.
"""

from __future__ import annotations

import re
from pathlib import Path

from vitapps.datasets.formats.video_choices import Decoder
from vitapps.datasets.formats.video_types import Clip, ClipMeta, Frame
from vitapps.errors import UnreadableInputError, UsageError

__all__ = ["VIDEO_SUFFIXES", "Clip", "ClipMeta", "Decoder", "Frame", "is_url", "open_clip"]

VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".flv", ".3gp",
    ".ogv", ".gif", ".apng", ".y4m", ".mxf",
)  # fmt: skip
_URL = re.compile(r"^(https?|rtsp|rtsps|rtmp|udp|tcp|srt)://", re.IGNORECASE)
_PATTERN = re.compile(r"%0?\d*d|[*?]")


def is_url(source: str | Path) -> bool:
    """Whether `source` names a stream on a network."""
    return bool(_URL.match(str(source)))


def open_clip(
    source: str | Path, *, decoder: Decoder = "auto", threads: int = 0, image_rate: float = 25.0
) -> Clip:  # fmt: skip
    """Open a video file, a folder of pictures, a pattern (`img/%05d.jpg`, `img/*.png`), a camera device or a URL.

    `threads` of the decoder, 0: all cores. `image_rate`: frames a second of pictures, which carry no time. Raises
    UnreadableInputError that names the source, UsageError for a decoder that cannot read it.
    """
    text = str(source)
    if not is_url(text) and _is_series(text):
        if decoder == "decord":
            raise UsageError(f"--decoder decord: {text} is a series of pictures", hint="leave --decoder out")
        from vitapps.datasets.formats.video_images import ImageClip

        return ImageClip(text, rate=image_rate)
    if not is_url(text):
        check_file(Path(text))
    if decoder == "decord":
        from vitapps.datasets.formats.video_decord import DecordClip

        return DecordClip(text, threads=threads)
    from vitapps.datasets.formats.video_pyav import PyAVClip

    reason = "asked for" if decoder == "pyav" else "auto: measured as fast as decord or faster, and reads every codec"
    return PyAVClip(text, threads=threads, reason=reason)


def _is_series(text: str) -> bool:
    """Whether it is a folder or a pattern of pictures."""
    try:
        return Path(text).is_dir() or bool(_PATTERN.search(text) and not Path(text).exists())
    except OSError as error:  # a name that no file can have
        raise UnreadableInputError(f"{text}: {error.strerror or error}", hint="check the path") from None


def check_file(path: Path) -> None:
    """Refuse what cannot be a clip before FFmpeg looks at it."""
    if path.is_char_device():  # a camera
        return
    try:
        exists, regular = path.exists(), path.is_file()
    except OSError as error:
        raise UnreadableInputError(f"{path}: {error.strerror or error}", hint="check the path") from None
    if not exists:
        camera = path.name.isdecimal() or str(path).startswith("/dev/")
        hint = "a camera is a device: /dev/video0" if camera else "check the path"
        raise UnreadableInputError(f"{path}: no such file", hint=hint)
    if not regular:
        raise UnreadableInputError(f"{path}: not a regular file", hint="give a video file or a folder of pictures")
    if path.stat().st_size == 0:
        raise UnreadableInputError(f"{path}: the file is empty", hint="copy it again")
