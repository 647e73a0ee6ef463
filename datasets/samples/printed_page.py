"""A page of print for `vitapps demo`, drawn on the spot: a title, two columns, a footer, then scanned: a little askew,
grey and noisy. Text and layout are our own; the letters are those that Pillow carries (Aileron, CC0)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_TITLE = "On Reading Pages"
_LEFT = """A page is more than its letters. The eye
finds the columns first, then the lines, and
only then the words. A program that reads
must do the same, or it will run from the
end of one line into the middle of another
and make nonsense of both.

This page was drawn by the program that
you are running. It was turned by half a
degree, made grey and sprinkled with noise,
as an honest scanner would have done."""
_RIGHT = """What comes out is plain text, a table of
words with their places, or a file that can
be searched: the picture stays as it was,
and the words lie unseen on top of it.

Numbers count, too: 1,024 pages in 36.5
hours are 28 pages an hour; 15 % of 240 is
36. Prices such as $19.99 and dates such as
2026-11-30 must survive.

So must questions. Does it work? Look at
the frames: green ones are sure."""
_SIZE, _DPI = (1240, 860), 150


def write_printed_page(path: Path) -> None:
    """Write the page as a PNG of 150 dpi."""
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("L", _SIZE, 244)
    draw = ImageDraw.Draw(sheet)
    draw.text((_SIZE[0] / 2, 110), _TITLE, font=ImageFont.load_default(52), fill=25, anchor="mm")
    for x, text in ((90, _LEFT), (650, _RIGHT)):
        draw.multiline_text((x, 210), text, font=ImageFont.load_default(25), fill=30, spacing=14)
    draw.text((_SIZE[0] / 2, 800), "- 1 -", font=ImageFont.load_default(22), fill=40, anchor="mm")
    turned = sheet.rotate(0.5, Image.Resampling.BICUBIC, fillcolor=244)
    noise = np.random.default_rng(0).normal(0, 9, (_SIZE[1], _SIZE[0]))
    grey = np.clip(np.asarray(turned, float) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(grey).save(path, format="PNG", dpi=(_DPI, _DPI))
