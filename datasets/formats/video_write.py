"""H.264 in MP4 with the times of the frames that come in, and the sound of the clip that they come from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import OutputError, UsageError

log = logging.getLogger("vitapps.video")

_TICKS = 90_000  # a second: the clock of MPEG, fine enough for every frame rate
_BT601, _LIMITED = 6, 1  # AVColorSpace and AVColorRange that RGB is brought to
_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "alac", "flac"})  # what MP4 may hold as it is


@contextmanager
def open_writer(path: Path, *, rate: float = 25.0, sound: str | None = None, quality: int = 23) -> Iterator[ClipWriter]:
    """A writer for `path` (.mp4, .mov or .mkv); `rate` is a hint for players, the frames' own times are kept.

    `sound`: a clip whose audio goes along, from the time of the first frame on. `quality`: CRF, 0 (exact) to 51. Raises
    OutputError for a suffix or a file that cannot be written.
    """
    if path.suffix.lower() not in (".mp4", ".m4v", ".mov", ".mkv"):
        raise UsageError(f"{path.name}: clips are written as .mp4, .mov or .mkv", hint="give such a name")
    writer = ClipWriter(path, rate=rate, sound=sound, quality=quality)
    try:
        yield writer
        writer.finish()
    finally:
        writer.close()


class ClipWriter:
    """`add` frames in order of time. The first frame becomes time 0; sides are made even by repeating the last line,
    as 4:2:0 colour needs."""

    def __init__(self, path: Path, *, rate: float, sound: str | None, quality: int) -> None:
        import av

        self._path, self._rate, self._quality = path, max(rate, 1.0), quality
        try:
            self._out = av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix != ".mkv" else {})
        except (av.error.FFmpegError, OSError) as error:
            raise OutputError(f"{path}: cannot be written: {error}", hint="check the folder and its space") from None
        self._video: Any = None
        self._zero: float | None = None
        self._last = -1
        self._sound = _Sound(sound, self._out) if sound else None
        self.frames = 0

    def add(self, pixels: NDArray[np.uint8], time_s: float) -> None:
        """One frame, H W 3 uint8 of the same size as the first, shown at `time_s` seconds (rising)."""
        import av

        even = _even(pixels)
        if self._video is None:
            self._begin(even.shape[1], even.shape[0])
            self._zero = time_s
            if self._sound:
                self._sound.begin(time_s)
        assert self._zero is not None
        stamp = max(round((time_s - self._zero) * _TICKS), self._last + 1)  # two frames never share a time
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame.pts, frame.time_base = stamp, Fraction(1, _TICKS)
        self._last = stamp
        self._put(frame)
        if self._sound:
            self._sound.until(stamp / _TICKS)
        self.frames += 1

    def finish(self) -> None:
        """Write what the encoder still holds; a writer that got no frame raises OutputError."""
        if self._video is None:
            raise OutputError(f"{self._path}: no frame to write", hint="--start and --end leave nothing of the clip")
        self._put(None)
        if self._sound:
            self._sound.until((self._last + 1) / _TICKS + 1 / self._rate)

    def close(self) -> None:
        """Close the files; `finish` comes before it when all went well."""
        if self._sound:
            self._sound.close()
        self._out.close()

    def _begin(self, width: int, height: int) -> None:
        stream = self._out.add_stream("libx264", rate=Fraction(self._rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(self._quality), "preset": "veryfast"}
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, _LIMITED  # players guess BT.709
        self._video = stream

    def _put(self, frame: Any) -> None:
        for packet in self._video.encode(frame):
            self._out.mux(packet)


class _Sound:
    """Packets of a clip's best audio stream, copied, or encoded anew as AAC where MP4 cannot hold the codec."""

    def __init__(self, source: str, out: Any) -> None:
        import av

        self._out = out
        self._in: Any = av.open(source)
        self._from: Any = self._in.streams.best("audio")
        self._to: Any = None
        self._waiting: Iterator[Any] = iter(())
        self._held: Any = None
        if self._from is None:
            return
        codec: Any = self._from.codec_context
        self._copies = codec.name in _COPIED
        if self._copies:
            self._to = out.add_stream_from_template(self._from)
        else:
            self._to = out.add_stream("aac", rate=codec.sample_rate)
        self._offset = (self._in.start_time or 0) / 1e6

    def begin(self, start: float) -> None:
        """Second `start` of the clip, that of the first picture, becomes 0; what comes before is left out."""
        if self._to is not None:
            self._offset += start
            self._waiting = self._parts()

    def until(self, seconds: float) -> None:
        """Write the sound up to `seconds` of the output."""
        import av

        try:
            while (part := self._held or next(self._waiting, None)) is not None:
                if part[0] > seconds:
                    self._held = part
                    return
                self._held = None
                for packet in part[1]:
                    self._out.mux(packet)
        except av.error.FFmpegError as error:
            log.warning("the sound breaks off: %s", error)
            self._waiting = iter(())

    def close(self) -> None:
        self._in.close()

    def _parts(self) -> Iterator[tuple[float, list[Any]]]:
        """(seconds of the output, packets to write)."""
        for packet in self._in.demux(self._from):
            if packet.dts is None or packet.pts is None:
                continue
            if self._copies:
                seconds = float(packet.pts * packet.time_base) - self._offset
                if seconds < 0:
                    continue
                shift = round(self._offset / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = self._to
                yield seconds, [packet]
                continue
            for frame in packet.decode():
                seconds = float(frame.pts * frame.time_base) - self._offset
                if seconds >= 0:
                    frame.pts = round(seconds / frame.time_base)
                    yield seconds, self._to.encode(frame)
        if not self._copies:
            yield 0.0, self._to.encode(None)


def _even(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H W 3 with even sides."""
    height, width = pixels.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return np.ascontiguousarray(pixels)
    return np.ascontiguousarray(np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))
