"""`doc eval --worst`: pictures of the pages that were read worst, wrong words framed, with what was read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitapps.atomic import atomic_path
from vitapps.datasets.formats.picture import read_picture
from vitapps.pipelines.document.evaluate import PageScore

_LONGEST = 1000  # pixels
_QUALITY = 55  # of JPEG: a page stays below 150 kB
_WRONG = (210, 30, 30)
_LETTER = 13  # pixels


def worst_pages(scores: Sequence[PageScore], number: int, engine: str = "vitapps") -> list[PageScore]:
    """The pages of an engine with the largest share of wrong characters, the worst first."""
    ours = [score for score in scores if score.engine == engine]
    return sorted(ours, key=lambda score: -score.errors)[:number]


def draw_worst(scores: Sequence[PageScore], folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write `worst_NAME.jpg` of each page into `folder`; raises OutputError for one that exists."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"worst_{score.image.stem}.jpg" for score in scores]
    for score, path in zip(scores, paths, strict=True):
        with atomic_path(path, overwrite=overwrite) as temporary:
            _drawn(score).save(temporary, format="JPEG", quality=_QUALITY, optimize=True)
    return paths


def _drawn(score: PageScore) -> Any:
    """A Pillow image: the page in grey, wrong words framed in red with what was read above them."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(read_picture(score.image).pixels).convert("L").convert("RGB")
    scale = min(1.0, _LONGEST / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(_LETTER)
    for word in score.wrong:
        draw.polygon([(x * scale, y * scale) for x, y in word.quad], outline=_WRONG, width=2)
        x, y = word.box[0] * scale, max(0.0, word.box[1] * scale - _LETTER - 3)
        draw.rectangle(draw.textbbox((x, y), word.text, font=font), fill=(255, 255, 255))
        draw.text((x, y), word.text, fill=_WRONG, font=font)
    return image
