"""Photographs and scans: PNG, JPEG, TIFF, WebP and what else Pillow reads -> upright 8-bit RGB.

Pixels come as a person sees them: EXIF orientation applied, CMYK and palettes converted, alpha laid over white, 16 bit
and float grey stretched from their own range. The header is checked before a pixel is decoded.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError

MAX_PIXELS = 170_000_000  # 510 MB as RGB: an A0 sheet at 300 dpi has 140 million
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2")
_EXIF_ORIENTATION = 274
_HINT = "is it a picture? open it in a viewer, or export it again as PNG"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One frame: `pixels` H W 3 uint8, upright. `dpi` x, y as the file says, None where it says nothing or nonsense;
    `exif_rotated`: the stored pixels were turned; `frames` of the file, this one is number `frame` from 0."""

    pixels: NDArray[np.uint8]
    name: str
    dpi: tuple[float, float] | None = None
    mode: str = "RGB"
    exif_rotated: bool = False
    frame: int = 0
    frames: int = 1
    warnings: tuple[str, ...] = field(default=())


def read_picture(source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS) -> Picture:
    """The first frame of a file or of bytes; raises UnreadableInputError that names it."""
    return next(read_frames(source, name=name, max_pixels=max_pixels))


def read_frames(source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS) -> Iterator[Picture]:
    """Every frame in turn (TIFF pages, GIF and WebP animations), one in memory at a time."""
    label = name or (str(source) if isinstance(source, Path) else "picture")
    with _refusing(label), _opened(source, label) as image:
        frames = _frames_of(image)
        for index in range(frames):
            if frames > 1:
                image.seek(index)
            _check_size(image, label, max_pixels)
            yield _picture(image, label, index, frames)


def count_frames(source: Path | bytes, *, name: str = "") -> int:
    """How many frames a file has, by its headers; raises UnreadableInputError as `read_frames` does for these."""
    label = name or (str(source) if isinstance(source, Path) else "picture")
    with _refusing(label), _opened(source, label) as image:
        _check_size(image, label, MAX_PIXELS)
        return _frames_of(image)


def _frames_of(image: Any) -> int:
    """What follows the photograph in an MPO file are previews and depths of the same, as cameras write them."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


@contextmanager
def _opened(source: Path | bytes, label: str) -> Iterator[Any]:
    from PIL import Image

    if isinstance(source, Path):
        if not source.exists():
            raise UnreadableInputError(f"{label}: no such file", hint="check the path")
        if not source.is_file():
            raise UnreadableInputError(f"{label}: not a regular file", hint="give a picture file")
        if source.stat().st_size == 0:
            raise UnreadableInputError(f"{label}: the file is empty", hint="copy it again")
    elif not source:
        raise UnreadableInputError(f"{label}: no data", hint="was anything piped in?")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's size warning: the size is checked here
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
            yield image


@contextmanager
def _refusing(label: str) -> Iterator[None]:
    """Turn what Pillow raises into one error of ours."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        raise UnreadableInputError(f"{label}: not a picture that can be read", hint=_HINT) from None
    except Image.DecompressionBombError:
        raise UnreadableInputError(
            f"{label}: claims more than {2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS):,} pixels", hint="split the picture"
        ) from None
    except UnreadableInputError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnreadableInputError(f"{label}: damaged or truncated: {reason}", hint=_HINT) from None


def _check_size(image: Any, label: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableInputError(
            f"{label}: {width} x {height} is more than {max_pixels:,} pixels", hint="scale it down, or cut it in parts"
        )
    if width < 1 or height < 1:
        raise UnreadableInputError(f"{label}: {width} x {height} pixels", hint=_HINT)


def _picture(image: Any, label: str, frame: int, frames: int) -> Picture:
    from PIL import ImageOps

    mode = image.mode
    turned = orientation_of(image) not in (0, 1)
    upright = ImageOps.exif_transpose(image) if turned else image
    return Picture(
        pixels=_rgb(upright), name=label, dpi=_dpi(image), mode=mode, exif_rotated=turned, frame=frame, frames=frames
    )


def orientation_of(image: Any) -> int:
    """The EXIF orientation of a Pillow image, 1 where there is none or what there is cannot be read."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, IndexError, struct.error):
        return 1


def _rgb(image: Any) -> NDArray[np.uint8]:
    """H W 3 of any mode."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _stretched(np.asarray(image, np.float64))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        from PIL import Image

        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, seen)
    return np.array(image.convert("RGB"))


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Grey of more than 8 bit, H W -> H W 3: 16-bit data by its full range, anything else by its own."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low >= 0 and 255 < high <= 65535:
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 255 and high > 1:
        low, high = 0.0, 255.0
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) / max(high - low, 1e-12)
    grey = (scaled.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)  # H W -> H W 3


def _dpi(image: Any) -> tuple[float, float] | None:
    found = image.info.get("dpi")
    try:
        x, y = (float(found[0]), float(found[1])) if found else (0.0, 0.0)
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return (x, y) if 30 <= x <= 2400 and 30 <= y <= 2400 else None
