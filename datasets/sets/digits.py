"""Sets of digit pictures: an `.npz` with `images` N H W, or the IDX files of MNIST (`…-images-idx3-ubyte[.gz]`)."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError, UsageError

Digits = NDArray[np.uint8]
_MAGIC = 0x00000803  # IDX: unsigned bytes, three axes


def read_digits(path: Path) -> Digits:
    """N H W uint8, bright on black. Raises UnreadableInputError."""
    if not path.is_file():
        raise UnreadableInputError(f"{path}: no such file", hint="an .npz with 'images', or MNIST's IDX file")
    try:
        images = _npz(path) if path.suffix.lower() == ".npz" else _idx(path)
    except (OSError, ValueError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UnreadableInputError(
            f"{path}: no set of digits: {error}", hint="an .npz with 'images' N H W, or MNIST's IDX file"
        ) from None
    if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
        raise UnreadableInputError(
            f"{path}: images of shape {images.shape}, {images.dtype}", hint="N H W, unsigned bytes"
        )
    return images


def split_digits(digits: Digits, held: int) -> tuple[Digits, Digits]:
    """(all but the last `held` digits, the last `held`): what is trained on, and what only scores."""
    if not 0 < held < len(digits):
        raise UsageError(f"--held {held} of {len(digits)} digits", hint="some must be trained on and some held back")
    return digits[:-held], digits[-held:]


def _npz(path: Path) -> Digits:
    with np.load(path, allow_pickle=False) as arrays:
        return np.asarray(arrays["images"])


def _idx(path: Path) -> Digits:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if len(content) < 16 or int.from_bytes(content[:4], "big") != _MAGIC:
        raise ValueError("not an IDX file of pictures")
    shape = [int.from_bytes(content[place : place + 4], "big") for place in (4, 8, 12)]
    return np.frombuffer(content, np.uint8, offset=16).reshape(shape)
