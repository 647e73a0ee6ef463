"""Pictures come upright, 8 bit and RGB whatever the file stores; what cannot be read is refused by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitapps.datasets.formats.picture import read_frames, read_picture
from vitapps.errors import UnreadableInputError


def stored(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def gradient(height: int = 6, width: int = 9) -> np.ndarray:
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def test_rgb_comes_back_as_stored() -> None:
    found = read_picture(stored(Image.fromarray(gradient()), "PNG", dpi=(300, 300)))
    assert np.array_equal(found.pixels, gradient())
    assert found.dpi == pytest.approx((300, 300), abs=0.1)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned a quarter clockwise to be upright
    found = read_picture(stored(Image.fromarray(gradient()), "PNG", exif=exif))
    assert found.exif_rotated
    assert np.array_equal(found.pixels, np.rot90(gradient(), -1))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_exif_that_cannot_be_read_is_none(form: str) -> None:
    found = read_picture(stored(Image.fromarray(gradient()), form, exif=b"Exif\0\0nonsense"))
    assert found.pixels.shape == (6, 9, 3) and not found.exif_rotated


def test_previews_behind_a_photograph_are_no_frames() -> None:
    shot = Image.fromarray(gradient())
    data = stored(shot, "MPO", save_all=True, append_images=[Image.new("RGB", (2, 2))])
    assert [(page.pixels.shape, page.frames) for page in read_frames(data)] == [((6, 9, 3), 1)]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = np.full((5, 7), 65535 if mode == "I;16" else 255, np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(grey) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    found = read_picture(stored(image, "TIFF"))
    assert found.pixels.shape == (5, 7, 3)
    assert found.pixels.min() == 255


def test_alpha_is_laid_over_white() -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    assert read_picture(stored(Image.fromarray(clear, "RGBA"), "PNG")).pixels.min() == 255


def test_pages_come_in_order() -> None:
    pages = [Image.new("L", (4, 4), value) for value in (10, 20, 30)]
    stream = io.BytesIO()
    pages[0].save(stream, "TIFF", save_all=True, append_images=pages[1:])
    found = list(read_frames(stream.getvalue()))
    assert [page.pixels[0, 0, 0] for page in found] == [10, 20, 30]
    assert [(page.frame, page.frames) for page in found] == [(0, 3), (1, 3), (2, 3)]


def test_absurd_resolution_is_no_resolution() -> None:
    assert read_picture(stored(Image.fromarray(gradient()), "PNG", dpi=(1, 1))).dpi is None


@pytest.mark.parametrize("content", [b"", b"\0", b"dear archivist\n" * 9, stored(Image.new("L", (64, 64)), "PNG")[:60]])
def test_what_is_no_picture_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableInputError, match=r"scan\.png"):
        read_picture(path)


def test_a_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(UnreadableInputError, match="more than 1,000 pixels"):
        read_picture(stored(Image.new("1", (100, 100)), "PNG"), max_pixels=1000)
