"""A picture with what was found drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitapps.pipelines.face.faces import Face, Pixels

_BOX, _POINT = (64, 224, 96), (255, 64, 32)


def draw_faces(pixels: Pixels, faces: Sequence[Face], path: Path, *, longest: int = 1600) -> None:
    """Write a PNG of the picture, at most `longest` pixels a side, with boxes, landmarks and scores."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(pixels)
    factor = min(1.0, longest / max(image.size))
    image = image.resize((max(1, round(image.width * factor)), max(1, round(image.height * factor))))
    draw = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 400))
    for face in faces:
        x0, y0, x1, y1 = (float(value) * factor for value in face.box)
        draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=_BOX, width=line)
        draw.text((x0 + line + 1, y0 + line), f"{face.score:.2f}", fill=_BOX)
        for x, y in face.landmarks * factor:
            draw.ellipse((x - line, y - line, x + line, y + line), fill=_POINT)
    image.save(path, format="PNG")
