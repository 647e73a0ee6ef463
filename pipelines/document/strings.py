"""Pictures of text to strings, called as pytesseract is: `image_to_string(image)`, `image_to_data(image)`."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.picture import Picture, read_picture
from vitapps.datasets.formats.word_tsv import HEADER, rows
from vitapps.errors import UnreadableInputError
from vitapps.options import RunOptions
from vitapps.pipelines.document.read_page import PageReader, read_page


def image_to_string(image: Any, *, weights: str | None = None, threads: int = 0) -> str:
    """The text of `image` in reading order: a path, bytes of a picture file, a Pillow image, or an array H W or H W 3
    (uint8, RGB). The first call loads the networks. Raises UnreadableInputError for what is no picture."""
    return image_to_page(image, weights=weights, threads=threads).text


def image_to_data(image: Any, *, weights: str | None = None, threads: int = 0) -> dict[str, list[Any]]:
    """The columns of tesseract's table (`level`, `left`, `conf`, `text` ...), one entry a row; pytesseract's
    `Output.DICT`. Images as for `image_to_string`."""
    page = image_to_page(image, weights=weights, threads=threads)
    table = [row.rstrip("\n").split("\t") for row in rows(page)]
    convert: dict[str, Any] = {"conf": float, "text": str}
    return {name: [convert.get(name, int)(row[place]) for row in table] for place, name in enumerate(HEADER)}


def image_to_page(image: Any, *, weights: str | None = None, threads: int = 0) -> Page:
    """The page tree of `image`, as above."""
    return read_page(_picture(image), _reader(weights, threads))


@lru_cache(maxsize=2)
def _reader(weights: str | None, threads: int) -> PageReader:
    return PageReader.load(weights, RunOptions(threads=threads))


def _picture(image: Any) -> Picture:
    if isinstance(image, (str, Path)):
        return read_picture(Path(image))
    if isinstance(image, bytes):
        return read_picture(image)
    if hasattr(image, "save") and hasattr(image, "mode"):  # a Pillow image, its dpi and orientation with it
        stream = io.BytesIO()
        image.save(stream, "TIFF" if image.mode in ("CMYK", "F", "I") else "PNG", **_kept(image))
        return read_picture(stream.getvalue(), name="image")
    array: NDArray[Any] = np.asarray(image)
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise UnreadableInputError(
            f"an array {array.shape} of {array.dtype} is no picture", hint="give uint8, H W or H W 3 in RGB"
        )
    pixels = np.repeat(array[..., None], 3, axis=2) if grey else array  # H W -> H W 3
    return Picture(pixels=np.ascontiguousarray(pixels), name="array")


def _kept(image: Any) -> dict[str, Any]:
    return {name: image.info[name] for name in ("dpi", "exif") if image.info.get(name)}
