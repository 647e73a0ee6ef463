"""Masks of a clip on disk: a folder of indexed PNGs (DAVIS), run-length codes (.json), or the clip with masks drawn."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.mask_series import encode_rle, voc_palette, write_index_png
from vitapps.datasets.formats.video_write import open_writer
from vitapps.errors import OutputError, UsageError

Pixels = NDArray[np.uint8]
Labels = NDArray[np.uint8]
CLIP_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_OPACITY = 0.45


class MaskSink(Protocol):
    """Takes the frames of a clip with their labels, in order."""

    def add(self, index: int, time_s: float, pixels: Pixels, labels: Labels) -> None:
        """Frame number `index` from 0 of the clip, `pixels` H W 3, `labels` H W object numbers (0: background)."""
        ...


def check_mask_output(out: Path, *, overwrite: bool, sources: tuple[Path, ...]) -> None:
    """Refuse before any work what cannot become an output: UsageError for a suffix, OutputError otherwise."""
    suffix = out.suffix.lower()
    if suffix in (*CLIP_SUFFIXES, ".json"):
        check_output(out, overwrite=overwrite, sources=sources)
        return
    if suffix:
        raise UsageError(
            f"-o {out}: masks are not written as {suffix}",
            hint=f"a folder of PNGs, .json or {', '.join(CLIP_SUFFIXES)}",
        )
    _check_folder(out, overwrite=overwrite, sources=sources)


@contextmanager
def open_sink(out: Path, *, overwrite: bool, rate: float, source: str) -> Iterator[MaskSink]:
    """A sink for `out`, which appears whole when the block ends, or not at all. `source` lends its sound to a clip."""
    suffix = out.suffix.lower()
    if not suffix:
        with _folder(out, overwrite=overwrite) as temporary:
            yield _PngSink(temporary)
        return
    with atomic_path(out, overwrite=overwrite) as temporary:
        if suffix == ".json":
            codes = _RleSink()
            yield codes
            temporary.write_text(json.dumps(codes.table()), encoding="utf-8")
            return
        sound = source if Path(source).is_file() else None
        with open_writer(temporary, rate=rate, sound=sound) as writer:
            yield _ClipSink(writer)


def draw_masks(pixels: Pixels, labels: Labels) -> Pixels:
    """The frame with every object tinted and outlined in its colour of the DAVIS palette; H W 3 -> H W 3."""
    colours = voc_palette()[labels]  # H W -> H W 3
    inside = labels > 0
    edge = inside & (cv2.erode(labels, np.ones((3, 3), np.uint8)) != cv2.dilate(labels, np.ones((3, 3), np.uint8)))
    drawn = pixels.astype(np.float32)
    drawn[inside] += _OPACITY * (colours[inside] - drawn[inside])
    drawn[edge] = colours[edge]
    return np.asarray(drawn.round(), np.uint8)


class _PngSink:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, index: int, time_s: float, pixels: Pixels, labels: Labels) -> None:
        write_index_png(self._folder / f"{index:05d}.png", labels)


class _RleSink:
    def __init__(self) -> None:
        self._frames: list[dict[str, Any]] = []
        self._size = [0, 0]

    def add(self, index: int, time_s: float, pixels: Pixels, labels: Labels) -> None:
        self._size = [int(side) for side in labels.shape]
        objects = {str(number): encode_rle(labels == number)["counts"] for number in np.unique(labels) if number}
        self._frames.append({"frame": index, "time_s": round(time_s, 6), "objects": objects})

    def table(self) -> dict[str, Any]:
        """COCO's uncompressed run lengths, column by column, by frame and object."""
        return {"size": self._size, "frames": self._frames}


class _ClipSink:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, index: int, time_s: float, pixels: Pixels, labels: Labels) -> None:
        self._writer.add(draw_masks(pixels, labels), time_s)


def _check_folder(out: Path, *, overwrite: bool, sources: tuple[Path, ...]) -> None:
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, masks go to a folder", hint="give a folder, .json or .mp4 with -o")
    resolved = out.resolve()
    for source in sources:
        if source.exists() and (source.resolve() == resolved or resolved in source.resolve().parents):
            raise OutputError(f"{out}: holds the input {source}, which is never replaced", hint="give another -o")
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent}: no such folder for the output", hint=f"mkdir -p '{out.parent}'")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{out.parent}: not writable", hint="give an -o in a folder that you may write to")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out}: holds files already", hint="give another -o, or --overwrite")


@contextmanager
def _folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A private folder beside `out`; at the end its PNGs go into `out`, whose older masks go with `overwrite`."""
    _check_folder(out, overwrite=overwrite, sources=())
    with tempfile.TemporaryDirectory(prefix=f".vitapps-{os.getpid()}-", dir=out.parent) as made:
        yield Path(made)
        try:
            out.mkdir(exist_ok=True)
            for old in out.glob("[0-9][0-9][0-9][0-9][0-9].png"):
                old.unlink()
            for item in sorted(Path(made).iterdir()):
                os.replace(item, out / item.name)
        except OSError as error:
            raise OutputError(f"{out}: {error.strerror or error}", hint="check free disk space and rights") from error
