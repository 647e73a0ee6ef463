"""Masks over time: indexed PNG files as DAVIS has them, and run-length codes as COCO has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError

Labels = NDArray[np.uint8]
VOID = 255  # DAVIS: not scored


def read_index_png(path: Path) -> Labels:
    """H W of object numbers: the indices of a palette PNG; of a grey picture its values, where 0 and 255 alone mean
    background and object 1. UnreadableInputError for other pictures."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1", "RGB", "RGBA"):
                raise UnreadableInputError(
                    f"{path}: a mask is an 8-bit PNG, this is {image.mode}", hint="save it as PNG"
                )
            indexed = image.mode == "P"
            values = np.array(image if indexed else image.convert("L"))
    except FileNotFoundError:
        raise UnreadableInputError(f"{path}: no such file", hint="check the path") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableInputError(f"{path}: not a picture that can be read: {error}", hint="give a PNG mask") from None
    if not indexed and set(np.unique(values)) <= {0, 255}:
        values = values // 255
    return np.asarray(values, np.uint8)


def write_index_png(path: Path, labels: Labels) -> None:
    """`labels` H W as a palette PNG with the DAVIS (Pascal VOC) palette."""
    from PIL import Image

    image = (
        Image.fromarray(labels).convert("P") if labels.dtype == np.uint8 else Image.fromarray(labels.astype(np.uint8))
    )
    image.putpalette(voc_palette().reshape(-1).tolist())
    image.save(path, format="PNG")


def voc_palette() -> NDArray[np.uint8]:
    """256 3: the bits of the number, spread over red, green and blue from the highest bit down."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, object]:
    """H W -> {"size": [H, W], "counts": [runs of 0, of 1, of 0, …]}, column by column (COCO's uncompressed code)."""
    flat = np.asarray(mask, bool).T.reshape(-1)  # H W -> W*H, columns first
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    counts = runs.tolist() if flat.size and not flat[0] else [0, *runs.tolist()]
    return {"size": [int(mask.shape[0]), int(mask.shape[1])], "counts": [int(run) for run in counts]}


def decode_rle(code: dict[str, object]) -> NDArray[np.bool_]:
    """The inverse of `encode_rle`; UnreadableInputError where the runs do not fill the size."""
    size, counts = code.get("size"), code.get("counts")
    if not isinstance(size, list) or not isinstance(counts, list) or len(size) != 2:
        raise UnreadableInputError("a run-length code has size and counts", hint="COCO's uncompressed form")
    height, width = (int(side) for side in size)
    if sum(counts) != height * width or min(counts, default=0) < 0:
        raise UnreadableInputError(f"runs of {sum(counts)} pixels for {height} x {width}", hint="encode it again")
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(flat.reshape(width, height).T)
