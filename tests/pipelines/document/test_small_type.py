"""Pages of few words: type much smaller than the rest, and light letters on panels that are coloured, not black."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vitapps.datasets.formats.page_text import Box
from vitapps.pipelines.document.deskew import Upright
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.read_page import ReadSettings, find_on, look_at

PAPER, INK = 255, 0


def drawn(*texts: tuple[str, tuple[int, int], int, int], panel: tuple[Box, int] | None = None) -> np.ndarray:
    """A page of texts, each at a place, in a size and a shade; H W."""
    image = Image.new("L", (1000, 700), PAPER)
    draw = ImageDraw.Draw(image)
    if panel:
        draw.rounded_rectangle(panel[0], 30, fill=panel[1])
    for text, place, size, shade in texts:
        draw.text(place, text, fill=shade, font=ImageFont.load_default(size))
    return np.asarray(image)


def lines_of(grey: np.ndarray) -> list[FoundLine]:
    return sorted(find_on(Upright(grey=grey, matrix=np.eye(3))).lines, key=lambda line: line.box[1])


@pytest.mark.parametrize("size", [18, 22, 26])
def test_small_type_below_a_heading_is_found_whole(size: int) -> None:
    small = "Confidential, page 17"
    lines = lines_of(drawn(("Please ring the bell", (100, 100), 64, INK), (small, (120, 400), size, INK)))
    assert len(lines) == 2
    x0, _, x1, _ = lines[1].box
    assert x0 == pytest.approx(121, abs=4) and x1 == pytest.approx(
        120 + ImageFont.load_default(size).getlength(small), abs=4
    )


def test_three_sizes_are_found_and_dots_and_accents_are_no_lines() -> None:
    texts = ("Süß: Ää, öü. iii!", (60, 60), 110, INK), ("of medium size", (60, 300), 44, INK), (
        "and of a small one too", (60, 500), 18, INK,
    )  # fmt: skip
    assert [round(line.x_height / 10) for line in lines_of(drawn(*texts))] == [6, 2, 1]


def test_a_picture_of_few_pixels_is_not_scaled_down_for_its_large_type() -> None:
    grey = drawn(("Please ring the bell", (100, 100), 64, INK), ("Back at half past two", (120, 400), 22, INK))
    _, page = look_at(grey, None, ReadSettings(turn=0))
    assert page.scale == 1
    _, page = look_at(np.kron(grey, np.ones((4, 4), np.uint8)), None, ReadSettings(turn=0))
    assert 0.2 < page.scale < 0.5  # of eleven megapixels nearly one is left


@pytest.mark.parametrize("shade", [40, 101, 140])
def test_light_letters_are_found_on_panels_of_any_colour(shade: int) -> None:
    texts = ("Are you coming?", (60, 60), 40, INK), ("Yes, around eight", (260, 220), 40, PAPER)
    dark, light = lines_of(drawn(*texts, panel=((220, 190, 900, 300), shade)))
    assert (dark.light, light.light) == (False, True)
    assert 250 < light.box[0] < 270


@pytest.mark.parametrize("shade", [110, 160, 200])
def test_dark_letters_on_a_panel_are_no_light_ones(shade: int) -> None:
    texts = ("Are you coming?", (60, 60), 40, INK), ("Yes, around eight", (260, 220), 40, INK)
    lines = lines_of(drawn(*texts, panel=((220, 190, 900, 300), shade)))
    assert len(lines) >= 2 and not any(line.light for line in lines)
