"""Clips in: times, rotation, seeking, broken files. Clips out: timing, odd sizes, sound."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fakes.clips import grey_frame, number_of, turn_clip, write_clip
from vitapps.datasets.formats.video_hdr import HLG, PQ, to_sdr
from vitapps.datasets.formats.video_images import places_of
from vitapps.datasets.formats.video_read import Clip, open_clip
from vitapps.datasets.formats.video_write import open_writer
from vitapps.errors import UnreadableInputError, UsageError


def numbers(clip: Clip, **span: float) -> list[int]:
    return [number_of(frame.pixels) for frame in clip.frames(**span)]  # type: ignore[arg-type]


def test_reads_every_frame_in_order_with_its_time(tmp_path: Path) -> None:
    with open_clip(write_clip(tmp_path / "a.mp4")) as clip:
        frames = list(clip.frames())
    assert [number_of(frame.pixels) for frame in frames] == [frame.index for frame in frames] == list(range(20))
    assert np.allclose([frame.time_s for frame in frames], np.arange(20) / 25)
    assert clip.meta.frames == 20 and clip.meta.rate == 25 and not clip.warnings


def test_times_are_timestamps_not_numbers_by_rate(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.24, 1.0, 1.5]
    with open_clip(write_clip(tmp_path / "vfr.mp4", times=times)) as clip:
        assert np.allclose([frame.time_s for frame in clip.frames()], times, atol=1e-4)
        assert np.allclose(clip.times(), times, atol=1e-4)
        assert numbers(clip, start=0.2, end=1.5) == [2, 3, 4]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mpg"])
def test_random_access_gives_the_frames_of_forward_reading(tmp_path: Path, suffix: str) -> None:
    codec = "mpeg1video" if suffix == ".mpg" else "libx264"
    with open_clip(write_clip(tmp_path / f"a{suffix}", frames=40, codec=codec)) as clip:
        forward = {frame.index: frame for frame in clip.frames()}
        for wanted in ([0], [39], [3, 30, 17], [8, 9, 7], list(range(40))):
            got = list(clip.frames_at(wanted))
            assert [frame.index for frame in got] == sorted(wanted)
            assert all((frame.pixels == forward[frame.index].pixels).all() for frame in got)
            assert all(frame.time_s == forward[frame.index].time_s for frame in got)


@pytest.mark.parametrize("stride", [1, 3])
def test_reading_in_pieces_is_reading_at_once(tmp_path: Path, stride: int) -> None:
    with open_clip(write_clip(tmp_path / "a.mp4", frames=36)) as clip:
        whole = [frame.index for frame in clip.frames(stride=stride)]
        cuts = [0.0, 0.24, 0.6, 9.0]  # borders at multiples of 3 frames: the stride counts from each start
        pieces = [
            frame.index for low, high in pairwise(cuts) for frame in clip.frames(start=low, end=high, stride=stride)
        ]
    assert pieces == whole == list(range(0, 36, stride))


@pytest.mark.parametrize(("degrees", "corner"), [(90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))])
def test_rotation_of_phones_is_applied(tmp_path: Path, degrees: int, corner: tuple[int, int]) -> None:
    path = write_clip(tmp_path / "phone.mp4")
    turn_clip(path, degrees)
    with open_clip(path) as clip:
        pixels = next(clip.frames()).pixels
    assert pixels.shape[:2] == ((64, 48) if degrees != 180 else (48, 64)) == (clip.meta.height, clip.meta.width)
    assert pixels[corner].min() > 200  # the bright corner went clockwise from the top left


def test_colour_follows_the_range_of_the_stream(tmp_path: Path) -> None:
    from fractions import Fraction

    for name, form, black in (("limited", "yuv420p", 16), ("full", "yuvj420p", 0)):
        path = tmp_path / f"{name}.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, form
            stream.options = {"qp": "0"}
            planes = np.full((48, 32), 128, np.uint8)
            planes[:32] = black
            frame = av.VideoFrame.from_ndarray(planes, format=form)
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        with open_clip(path) as clip:
            assert next(clip.frames()).pixels.max() <= 1, name


def test_a_broken_tail_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mp4", frames=60, size=(320, 240)).read_bytes()
    with (
        av.open(str(tmp_path / "a.mp4")) as source,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "+faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    content = (tmp_path / "fast.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) - len(whole) // 3])
    with open_clip(tmp_path / "cut.mp4") as clip:
        got = numbers(clip)
        assert 5 < len(got) < 60
        assert any("missing" in text for text in clip.warnings)


GIF_BOMB = b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x08\x02\x4c\x01\x00;"


@pytest.mark.parametrize(
    "content", [b"", GIF_BOMB, b"not a clip", b"\0" * 4096, b"\x00\x00\x00\x18ftypmp42" + b"\0" * 64]
)
def test_what_is_no_clip_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=r"bad\.mp4"):
        open_clip(path)
    with pytest.raises(UnreadableInputError, match="no such file"):
        open_clip(tmp_path / "none.mp4")


def test_a_playlist_leads_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnreadableInputError):
        open_clip(path)


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", sound=True)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "b.m4a"), "w", format="mp4") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    with pytest.raises(UnreadableInputError, match="no video stream"):
        open_clip(tmp_path / "b.m4a")


def test_pictures_in_a_folder_or_by_a_pattern(tmp_path: Path) -> None:
    for number in (1, 2, 3, 5, 10):
        Image.fromarray(grey_frame(number)).save(tmp_path / f"f{number}.png")
    for source in (tmp_path, tmp_path / "f%d.png", tmp_path / "f*.png"):
        with open_clip(source, image_rate=10.0) as clip:
            assert numbers(clip) == [1, 2, 3, 5, 10]
            assert np.allclose(clip.times(), np.array([0, 1, 2, 4, 9]) / 10)  # the gaps take their time
            assert [frame.index for frame in clip.frames(start=0.3, end=0.5)] == [3]
            assert "5 numbers are missing" in clip.warnings[0]
            assert [number_of(frame.pixels) for frame in clip.frames_at([4, 0])] == [1, 10]
    Image.fromarray(grey_frame(4, 32, 32)).save(tmp_path / "f4.png")
    with open_clip(tmp_path) as clip, pytest.raises(UnreadableInputError, match=r"f4\.png: 32 x 32"):
        list(clip.frames())
    with pytest.raises(UnreadableInputError, match="no pictures"):
        open_clip(tmp_path / "g%d.png")


@pytest.mark.parametrize(
    ("names", "places", "gap"),
    [
        (["f1", "f2", "f4"], [0, 1, 3], 3),
        (["f10", "f15", "f20", "f30"], [0, 1, 2, 4], 25),  # every fifth frame of something
        (["f10", "f15", "f20"], [0, 1, 2], -1),
        (["f1", "f2", "f3", "f99999999999999999999999"], [0, 1, 2, 3], -1),
        (["20261130235958", "20261130235959", "20261201000000"], [0, 1, 2], -1),  # times of day are no series
        (["a", "b", "c"], [0, 1, 2], -1),
    ],
)
def test_places_in_a_series_by_numbers(names: list[str], places: list[int], gap: int) -> None:
    found, first = places_of([Path(f"{name}.png") for name in names])
    assert found.tolist() == places and first == gap


def remux(source: Path, target: Path, spoil: Collection[int]) -> Path:
    """The packets of a clip, those of these numbers overwritten."""
    with av.open(str(source)) as read, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(read.streams.video[0])
        packets = [packet for packet in read.demux(video=0) if packet.dts is not None]
        for number, packet in enumerate(packets):
            if number in spoil:
                broken = av.Packet(b"\xff" * packet.size)
                broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
                packet = broken
            packet.stream = stream
            out.mux(packet)
    return target


def test_frames_after_lost_ones_keep_their_numbers(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", gop=1)
    with open_clip(remux(whole, tmp_path / "spoilt.mp4", {4, 5, 11})) as clip:
        frames = list(clip.frames())
        assert [frame.index for frame in frames] == [n for n in range(20) if n not in (4, 5, 11)]
        assert all(number_of(frame.pixels) == frame.index for frame in frames)
        assert any("3 of 20 frames are missing" in text for text in clip.warnings)
        assert [number_of(frame.pixels) for frame in clip.frames_at([3, 5, 12])] == [3, 12]


def test_a_matroska_without_its_end_is_reported(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mkv", frames=60, size=(320, 240))
    content = whole.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    for path, said in ((whole, 0), (tmp_path / "cut.mkv", 1)):
        with open_clip(path) as clip:
            assert 5 < len(numbers(clip)) <= 60
            assert len([text for text in clip.warnings if "the end may be missing" in text]) == said


def test_a_matroska_that_begins_late_is_whole(tmp_path: Path) -> None:
    times = [5 + number / 25 for number in range(20)]
    with open_clip(write_clip(tmp_path / "a.mkv", codec="mpeg4", times=times)) as clip:
        seen = [frame.time_s for frame in clip.frames()]
    assert seen == pytest.approx([number / 25 for number in range(20)], abs=2e-3)
    assert clip.meta.duration_s == pytest.approx(0.8, abs=0.1)
    assert clip.warnings == []


@pytest.mark.parametrize(("transfer", "white", "grey"), [(PQ, 148, 97), (HLG, 191, 97)])
def test_hdr_is_shown_as_sdr(transfer: int, white: int, grey: int) -> None:
    """BT.2408: white of 203 cd/m2 has the code 0.58 in PQ, 0.75 in HLG, grey of 26 cd/m2 0.38 and 0.38 (table 1)."""
    codes = np.array([[[0] * 3, [grey] * 3, [white] * 3, [255] * 3]], np.uint8)
    black, middle, paper, sun = to_sdr(codes, transfer)[0].astype(int)
    assert (black == 0).all() and (sun == 255).all()
    assert np.abs(paper - 247).max() <= 3
    assert np.abs(middle - 101).max() <= 6  # 18 % grey lies at 118, 26 / 203 at 101
    assert np.array_equal(to_sdr(codes, 1), codes)  # BT.709 is left as it is


def test_a_clip_in_hdr_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx265", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.options = {"x265-params": "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"}
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 148, np.uint8), format="rgb24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with open_clip(tmp_path / "a.mp4") as clip:
        seen = [frame.pixels for frame in clip.frames()]
    assert abs(seen[0].mean() - 247) < 5  # as coded it would be 148
    assert [text for text in clip.warnings if "HDR (PQ)" in text]


def test_an_interlaced_clip_says_so(tmp_path: Path) -> None:
    for options, said in (("tff=1", 1), ("tff=0", 0)):
        with av.open(str(tmp_path / "a.mp4"), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            stream.options = {"x264-params": options}
            for number in range(3):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(grey_frame(number, 64, 64), format="rgb24")))
            out.mux(stream.encode(None))
        with open_clip(tmp_path / "a.mp4") as clip:
            assert len([text for text in clip.warnings if "interlaced" in text]) == said


def test_written_colours_say_their_matrix(tmp_path: Path) -> None:
    colour = (200, 40, 20)
    with open_writer(tmp_path / "a.mp4", quality=0) as writer:
        writer.add(np.full((720, 1280, 3), colour, np.uint8), 0.0)
    with av.open(str(tmp_path / "a.mp4")) as out:
        frame = next(out.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)  # BT.601, limited
    with open_clip(tmp_path / "a.mp4") as clip:
        assert np.abs(next(clip.frames()).pixels[50, 50].astype(int) - colour).max() <= 2


@pytest.mark.parametrize(
    ("source", "hint"), [("rtsp://127.0.0.1:9/x", "camera or server"), ("/dev/video77", "/dev/video0"), ("0", "device")]
)
def test_a_camera_that_does_not_answer(source: str, hint: str) -> None:
    with pytest.raises(UnreadableInputError) as error:
        open_clip(source)
    assert error.value.hint is not None and hint in error.value.hint


def test_written_clips_keep_times_and_sizes(tmp_path: Path) -> None:
    times = [0.5, 0.54, 0.9, 1.7]
    with open_writer(tmp_path / "out.mp4") as writer:
        for number, time in enumerate(times):
            writer.add(grey_frame(number, 65, 49), time)
    with open_clip(tmp_path / "out.mp4") as clip:
        frames = list(clip.frames())
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2, 3]
    assert np.allclose([frame.time_s for frame in frames], np.array(times) - 0.5, atol=1e-4)
    assert (clip.meta.width, clip.meta.height, clip.meta.codec) == (66, 50, "h264")


@pytest.mark.parametrize("start", [0.0, 0.4])
def test_the_sound_goes_along_in_time(tmp_path: Path, start: float) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=50, sound=True)
    with open_clip(source) as clip, open_writer(tmp_path / "b.mp4", sound=str(source)) as writer:
        for frame in clip.frames(start=start):
            writer.add(frame.pixels, frame.time_s)
    with av.open(str(tmp_path / "b.mp4")) as out:
        lengths = {stream.type: float(stream.duration * stream.time_base) for stream in out.streams}
    assert lengths["video"] == pytest.approx(2.0 - start, abs=0.06)
    assert lengths["audio"] == pytest.approx(2.0 - start, abs=0.15)


def test_pictures_that_begin_after_the_sound_stay_with_it(tmp_path: Path) -> None:
    """The clip's time begins with its sound; where the written one begins with its first picture, so does the sound."""
    source = write_clip(tmp_path / "a.mp4", times=[0.4 + number / 25 for number in range(25)], sound=True)
    with open_clip(source) as clip, open_writer(tmp_path / "b.mp4", sound=str(source)) as writer:
        for frame in clip.frames():
            writer.add(frame.pixels, frame.time_s)
    was, now = _sound(source), _sound(tmp_path / "b.mp4")  # copied as it is, so parts are known by their bytes
    part, begin = min(now.items(), key=lambda item: item[1])
    assert begin == pytest.approx(was[part] - 0.4, abs=0.01)
    assert begin < 0.1


def _sound(path: Path) -> dict[bytes, float]:
    """The seconds of every packet of sound; of packets with the same bytes of the first."""
    with av.open(str(path)) as clip:
        found = [(bytes(part), float(part.pts * part.time_base)) for part in clip.demux(audio=0) if part.size]
    return dict(reversed(found))


def test_a_writer_names_its_faults(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4"), open_writer(tmp_path / "a.txt"):
        pass
