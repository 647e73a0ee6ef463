"""Video files and streams through PyAV: forward reading in bounded memory, exact seeking by timestamps."""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.video_hdr import NAMES, to_sdr
from vitapps.datasets.formats.video_types import Clip, ClipMeta, Frame, wanted
from vitapps.errors import UnreadableInputError

log = logging.getLogger("vitapps.video")

MAX_PIXELS = 170_000_000  # of one frame; 8K has 33 million
NEAR_SQUARE = 0.01  # sample aspect ratios this close to 1 are encoder rounding
_EARLY_S, _EARLY = 1.0, 0.05  # seconds and share of a clip's length by which its pictures may end before it
_TURNS = {  # against the clock
    90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE,
}  # fmt: skip
_RANGES = {1: "limited", 2: "full"}
_HINT = "does a player open it? convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"

_LIVE_HINT = "is the address right, and does the camera or server answer? a player can tell"


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """Timestamps of all frames in presentation order, and of those from which decoding can begin."""

    pts: list[int]
    keys: list[int]


class PyAVClip:
    """A `Clip` (see `video_types`) on FFmpeg's decoders."""

    def __init__(self, source: str, *, threads: int = 0, reason: str = "") -> None:
        self._source, self._threads = source, threads
        self.warnings: list[str] = []
        self._timeline: Timeline | None = None
        self._timeline_read = False
        self._container, self._stream = self._open()
        self.meta = self._describe(reason)

    def frames(self, start: float | None = None, end: float | None = None, stride: int = 1) -> Iterator[Frame]:
        first = self._begin(start)
        found: dict[int, Any] = {}

        def numbered() -> Iterator[tuple[int, float]]:
            for index, raw in self._raw(first):
                found.clear()
                found[index] = raw
                yield index, self._seconds(raw)

        for index, time in wanted(numbered(), start, end, stride):
            yield Frame(index=index, time_s=time, pixels=self._pixels(found[index]))

    def frames_at(self, indices: Sequence[int]) -> Iterator[Frame]:
        asked = sorted(set(indices))
        position = 0
        while position < len(asked):
            first = self._key_before(asked[position])
            for index, raw in self._raw(first):
                if index > asked[position]:
                    self._warn(f"frame {asked[position]} cannot be decoded")
                    position += 1
                elif index == asked[position]:
                    yield Frame(index=index, time_s=self._seconds(raw), pixels=self._pixels(raw))
                    position += 1
                    if position == len(asked) or self._key_before(asked[position]) > index + 1:
                        break  # done, or it is quicker to jump
                if position == len(asked):
                    break
            else:
                if position < len(asked):
                    self._warn(f"frames from {asked[position]} on cannot be decoded")
                return

    def times(self) -> NDArray[np.float64]:
        timeline = self._read_timeline()
        if timeline is None:
            return np.array([self._seconds(raw) for _, raw in self._raw(0)])
        return np.array([self._since_start(pts) for pts in timeline.pts])

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> tuple[Any, Any]:
        import av

        av.logging.set_level(None)  # FFmpeg's own lines would spoil stderr; what matters is raised or warned about
        try:
            container = av.open(self._source, **_open_options(self._source))
            stream = container.streams.best("video")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            hint = _LIVE_HINT if _is_live(self._source) else _HINT
            raise UnreadableInputError(
                f"{self._source}: not a video that can be read: {_said(error)}", hint=hint
            ) from None
        if stream is None:
            container.close()
            raise UnreadableInputError(f"{self._source}: has no video stream", hint=_HINT)
        codec = stream.codec_context
        if codec is None:
            container.close()
            raise UnreadableInputError(f"{self._source}: no decoder for its video stream", hint=_HINT)
        if codec.width * codec.height > MAX_PIXELS:
            container.close()
            raise UnreadableInputError(
                f"{self._source}: claims {codec.width} x {codec.height} pixels", hint="scale it down first"
            )
        stream.thread_type = "AUTO"
        if self._threads:
            codec.thread_count = self._threads
        return container, stream

    def _describe(self, reason: str) -> ClipMeta:
        """What the container says and what its first frame shows: rotation stands in frame side data only."""
        # FFmpeg's estimate of the begin is that of the earliest stream, in microseconds
        self._start = (self._container.start_time or 0) / 1e6
        first = next((raw for _, raw in self._raw(0)), None)
        if first is None:
            self.close()
            raise UnreadableInputError(f"{self._source}: no frame can be decoded", hint=_HINT)
        container, stream = self._container, self._stream  # those that `_raw` has opened: a closed one may not be asked
        aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        self._aspect = float(aspect) if aspect and float(aspect) > 0 else 1.0
        if name := NAMES.get(int(first.color_trc)):
            self._warn(f"HDR ({name}): its colours are brought to SDR, what is brighter than white is compressed")
        self._rotation = round(first.rotation / 90) * 90 % 360
        if first.interlaced_frame:
            self._warn("interlaced: a frame weaves two moments, so what moves has combed edges: ffmpeg -vf bwdif")
        height, width = self._pixels(first).shape[:2]
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        duration = float(stream.duration * stream.time_base) if stream.duration else self._length()
        return ClipMeta(
            source=self._source, width=width, height=height, frames=stream.frames, rate=rate, duration_s=duration,
            codec=stream.codec_context.name, pixel_format=first.format.name,
            color_range=_RANGES.get(int(first.color_range), "unknown"), rotation=self._rotation,
            sample_aspect=self._aspect, start_s=self._start, has_audio=bool(container.streams.audio), decoder="pyav",
            decoder_reason=reason,
        )  # fmt: skip

    def _raw(self, first: int) -> Iterator[tuple[int, Any]]:
        """(index, undecorated frame) from frame `first` on, which is 0 or the index of a key frame; from 0 on where
        seeking turns out to be inexact."""
        self._rewind(first)
        index, last, lost, corrupt, decoded = first, -1, 0, 0, 0
        begin = self._timeline.pts[first] if first and self._timeline else None
        for raw, damaged in self._decode():
            lost += damaged
            if raw is None:
                continue
            if begin is not None and index == first:
                if raw.pts is not None and raw.pts < begin:
                    continue  # leading frames of an open group of pictures
                if raw.pts != begin:
                    self._timeline = None  # no more seeking in this file
                    yield from self._raw(0)
                    return
            corrupt += bool(raw.is_corrupt)
            if raw.pts is None:
                raw.pts = self._next_pts(last)
                self._warn("frames without a timestamp: their times are made up from the frame rate")
            last = raw.pts
            index = self._place(raw.pts, index) if lost else index
            yield index, raw
            index, decoded = index + 1, decoded + 1
        if lost or corrupt:
            self._warn(f"broken data: {lost} packets could not be decoded, {corrupt} frames are damaged")
        if not first:
            self._report_missing(decoded)
            self._report_early_end(last)

    def _decode(self) -> Iterator[tuple[Any, int]]:
        """Frames of the stream with 0, or None with 1 for a packet that cannot be decoded."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError) as error:
                self._warn(f"the file breaks off: {_said(error)}")
                yield from self._flush()
                return
            try:
                for raw in packet.decode():
                    yield raw, 0
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                yield None, 1

    def _flush(self) -> Iterator[tuple[Any, int]]:
        import av

        try:
            for raw in self._stream.codec_context.decode(None):
                yield raw, 0
        except av.error.FFmpegError:
            return

    def _rewind(self, first: int) -> None:
        """To the begin by opening anew, which every source allows and which resets the decoder; else to a key frame."""
        import av

        if first == 0 or self._timeline is None:
            self._container.close()
            self._container, self._stream = self._open()
            return
        try:
            self._container.seek(self._timeline.pts[first], stream=self._stream, backward=True)
        except av.error.FFmpegError as error:
            raise UnreadableInputError(f"{self._source}: cannot seek: {_said(error)}", hint=_HINT) from None

    def _read_timeline(self) -> Timeline | None:
        """From the packets alone; None where they carry no times (some AVI and MPEG streams) or cannot be re-read."""
        import av

        if self._timeline_read or _is_live(self._source):
            return self._timeline
        self._timeline_read = True
        pts, keys = [], []
        container, stream = self._open()
        try:
            for packet in container.demux(stream):
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None or packet.is_corrupt:
                    return None
                pts.append(packet.pts)
                keys += [packet.pts] if packet.is_keyframe else []
        except (av.error.FFmpegError, OSError):
            return None
        finally:
            container.close()
        if not pts or len(set(pts)) != len(pts):
            return None
        self._timeline = Timeline(pts=sorted(pts), keys=sorted(keys))
        return self._timeline

    def _begin(self, start: float | None) -> int:
        """The frame from which to decode for time `start`."""
        if start is None or start <= 0:
            return 0
        timeline = self._read_timeline()
        if timeline is None:
            return 0
        seconds = [self._since_start(pts) for pts in timeline.pts]
        return self._key_before(min(bisect_left(seconds, start - 1e-9), len(seconds) - 1))

    def _key_before(self, index: int) -> int:
        """Index of the last key frame at or before frame `index`; 0 where there is no timeline."""
        timeline = self._read_timeline()
        if timeline is None or index >= len(timeline.pts):
            return 0
        place = bisect_right(timeline.keys, timeline.pts[index])
        return bisect_left(timeline.pts, timeline.keys[place - 1]) if place else 0

    def _place(self, pts: int, index: int) -> int:
        """The number of the frame with timestamp `pts`, where packets before it were lost: `index` if no other is
        known."""
        timeline = self._read_timeline()
        if timeline is None:
            return index
        place = bisect_left(timeline.pts, pts)
        return max(index, place) if place < len(timeline.pts) and timeline.pts[place] == pts else index

    def _length(self) -> float:
        """Seconds by the container, 0 where it does not say. Matroska tells the last time, whatever the first."""
        length = (self._container.duration or 0) / 1e6
        counted = "matroska" in self._container.format.name and length > self._start > 0
        return length - self._start if counted else length

    def _report_early_end(self, last: int) -> None:
        """Where the container counts no frames, its length says that some are missing at the end."""
        length = self._length()
        if self._stream.frames or last < 0 or not length:
            return
        end = self._since_start(last)
        if length - end > max(_EARLY_S, _EARLY * length):
            self._warn(f"the pictures end at {end:g} s, the container says {length:g} s: the end may be missing")

    def _report_missing(self, decoded: int) -> None:
        claimed = self._stream.frames
        timeline = self._timeline
        if timeline is not None:
            claimed = len(timeline.pts)
        if claimed and decoded < claimed and timeline is None and self._trimmed():
            return
        if claimed and decoded < claimed:
            self._warn(f"{claimed - decoded} of {claimed} frames are missing")

    def _trimmed(self) -> bool:
        """Whether an edit list hides frames on purpose: the packets say so."""
        timeline = self._read_timeline()
        return timeline is not None and len(timeline.pts) < self._stream.frames

    def _next_pts(self, last: int) -> int:
        rate = self._stream.average_rate or self._stream.guessed_rate or 25
        step = max(1, round(1 / (rate * self._stream.time_base)))
        return last + step if last >= 0 else 0

    def _seconds(self, raw: Any) -> float:
        return self._since_start(raw.pts)

    def _since_start(self, pts: int) -> float:
        return round(float(pts * self._stream.time_base) - self._start, 6) + 0.0  # no minus zero

    def _pixels(self, raw: Any) -> NDArray[np.uint8]:
        pixels = to_sdr(_rgb(raw), raw.color_trc, raw.color_primaries)  # H W 3
        if abs(self._aspect - 1) > NEAR_SQUARE:
            width = max(1, round(pixels.shape[1] * self._aspect))
            pixels = np.asarray(cv2.resize(pixels, (width, pixels.shape[0]), interpolation=cv2.INTER_LINEAR), np.uint8)
        turn = _TURNS.get(self._rotation)
        return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), np.uint8)

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
            log.warning("%s: %s", self._source, text)


def _is_live(source: str) -> bool:
    """A stream or a camera, which may never end."""
    return "://" in source or source.startswith("/dev/video")


def _open_options(source: str) -> dict[str, Any]:
    """A file may not lead to the network or elsewhere (a playlist could); a camera is named by its device."""
    if "://" in source:
        return {"timeout": 20.0}
    if source.startswith("/dev/video"):
        return {"format": "v4l2"}
    return {"options": {"protocol_whitelist": "file"}}


def _rgb(raw: Any) -> NDArray[np.uint8]:
    """H W 3 by the frame's own matrix and range; alpha over white."""
    if raw.format.name in ("pal8",) or len(raw.format.components) in (2, 4):
        rgba = raw.to_ndarray(format="rgba").astype(np.uint16)  # H W 4
        alpha = rgba[..., 3:]
        return np.asarray((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255, np.uint8)
    return np.asarray(raw.to_ndarray(format="rgb24"), np.uint8)


def _said(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
