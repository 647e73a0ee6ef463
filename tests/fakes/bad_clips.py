"""Clips and their companions as users really hand them over: cut, empty, misnamed, contradictory."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fakes.clips import write_clip

Make = Callable[[Path], Path]


def _of_bytes(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _part(name: str, first: float, last: float) -> Make:
    """A clip of which only the bytes from one share of its length to another are left."""

    def make(folder: Path) -> Path:
        whole = write_clip(folder / f"whole{Path(name).suffix}", frames=12)
        content = whole.read_bytes()
        whole.unlink()
        path = folder / name
        path.write_bytes(content[round(first * len(content)) : round(last * len(content))])
        return path

    return make


def sound_only(folder: Path) -> Path:
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    return folder / "sound.wav"


def empty_folder(folder: Path) -> Path:
    (folder / "frames").mkdir()
    return folder / "frames"


def folder_of_text(folder: Path) -> Path:
    (folder / "frames").mkdir()
    (folder / "frames" / "00001.jpg").write_bytes(b"no picture")
    return folder / "frames"


def picture_without_pixels(folder: Path) -> Path:
    """The second of three pictures is cut."""
    (folder / "frames").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (48, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "frames" / f"{number}.png")
    whole = (folder / "frames" / "1.png").read_bytes()
    (folder / "frames" / "1.png").write_bytes(whole[: len(whole) // 3])
    return folder / "frames"


def no_such_pattern(folder: Path) -> Path:
    return folder / "img%05d.jpg"


# name -> (generator, exit codes that are right)
BAD_CLIPS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "missing": (lambda folder: folder / "missing.mp4", (3,)),
    "empty": (_of_bytes("empty.mp4", b""), (3,)),
    "one byte": (_of_bytes("one.mkv", b"\0"), (3,)),
    "text": (_of_bytes("text.mp4", b"this is no clip\n" * 40), (3,)),
    "noise": (_of_bytes("noise.avi", np.random.default_rng(0).bytes(4000)), (3,)),
    "a playlist of a file": (_of_bytes("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"), (3,)),
    "a playlist of an address": (_of_bytes("net.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"), (3,)),
    "a list to concatenate": (_of_bytes("list.ffconcat", b"ffconcat version 1.0\nfile '/etc/passwd'\n"), (3,)),
    "a RIFF head": (_of_bytes("head.avi", b"RIFF\xff\xff\xff\x7fAVI LIST"), (3,)),
    "a GIF head": (_of_bytes("head.gif", b"GIF89a\x10\x00\x10\x00\x80\x00\x00"), (3,)),
    "an MP4 of one empty box": (_of_bytes("box.mp4", b"\0\0\0\x08moov"), (3,)),
    "an MP4 box longer than the file": (_of_bytes("long.mp4", b"\x7f\xff\xff\xffmoov" + bytes(64)), (3,)),
    "a Matroska head": (_of_bytes("head.webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01"), (3,)),
    "first half of an MP4": (_part("half.mp4", 0.0, 0.5), (3,)),
    "second half of an MP4": (_part("tail.mp4", 0.5, 1.0), (3,)),
    "first half of a Matroska": (_part("half.mkv", 0.0, 0.5), (0, 3)),
    "head of a Matroska": (_part("head.mkv", 0.0, 0.1), (0, 3)),
    "last bytes of a transport stream": (_part("last.ts", 0.9, 1.0), (0, 3)),
    "sound only": (sound_only, (3,)),
    "empty folder": (empty_folder, (3,)),
    "folder of text": (folder_of_text, (3,)),
    "a picture cut": (picture_without_pixels, (0, 3)),
    "a pattern that fits nothing": (no_such_pattern, (3,)),
}  # fmt: skip

_ROW = b"1,-1,10,10,20,20,0.9\n"
BAD_DETECTIONS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "missing": (lambda folder: folder / "missing.txt", (3,)),
    "text": (_of_bytes("a.txt", b"no numbers here\n"), (3,)),
    "binary": (_of_bytes("b.txt", bytes(range(256))), (3,)),
    "too few columns": (_of_bytes("c.txt", b"1,2,3\n"), (3,)),
    "not a number": (_of_bytes("d.txt", b"1,-1,nan,nan,5,5,1\n"), (3,)),
    "frame zero": (_of_bytes("e.txt", b"0,-1,1,1,5,5,1\n"), (3,)),
    "negative size": (_of_bytes("f.txt", b"1,-1,1,1,-5,5,1\n"), (3,)),
    "beyond the clip": (_of_bytes("g.txt", _ROW + b"900,-1,1,1,5,5,1\n"), (3,)),
    "a frame of enormous number": (_of_bytes("h.txt", b"99999999999999999999,-1,1,1,5,5,1\n"), (3,)),
    "a broken JSON": (_of_bytes("i.json", b'{"tracks": ['), (3,)),
    "a JSON of something else": (_of_bytes("j.json", b'[1, 2, "three"]'), (3,)),
    "a JSON nested deeply": (_of_bytes("k.json", b"[" * 100_000), (3,)),
    "a CSV without a head": (_of_bytes("l.csv", b"1,2,3\n4,5,6\n"), (3,)),
    "a CSV of other columns": (_of_bytes("m.csv", b"name,age\nann,7\n"), (3,)),
    "another suffix": (_of_bytes("n.xml", b"<a/>"), (2, 3)),
}

BAD_MASKS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "missing": (lambda folder: folder / "missing.png", (3,)),
    "text": (_of_bytes("a.png", b"no picture"), (3,)),
    "empty": (_of_bytes("b.png", b""), (3,)),
    "a PNG head": (_of_bytes("c.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), (3,)),
}
