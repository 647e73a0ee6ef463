"""A picture of what was read: the page reduced to screen size, lines framed and words coloured by confidence."""

from __future__ import annotations

from pathlib import Path

from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.picture import Picture

_LONGEST = 1600  # pixels
_SURE, _DOUBTFUL, _LINE = (32, 160, 64), (230, 60, 20), (64, 120, 230)
_DOUBT = 0.7  # words below are drawn as doubtful


def draw_page(picture: Picture, page: Page, path: Path) -> None:
    """Write a PNG of the page with its lines (blue) and words (green; red where the confidence is below 0.7)."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture.pixels)
    factor = min(1.0, _LONGEST / max(image.size))
    image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    across, down = image.width / page.width, image.height / page.height
    draw = ImageDraw.Draw(image)
    for line in page.lines:
        draw.polygon([(x * across, y * down) for x, y in line.quad], outline=_LINE, width=2)
        for word in line.words:
            colour = _SURE if word.confidence >= _DOUBT else _DOUBTFUL
            draw.polygon([(x * across, y * down) for x, y in word.quad], outline=colour)
    image.save(path, format="PNG")
