"""Synthetic photographs of signs and labels: a few lines of large or small type, tilted and lit, on a busy ground.

Words are made-up. The ground is a piece of one of the pictures given, or clouds, stripes and plain colours where there
are none. No such picture was photographed with these words in it: light, lens and noise are simple models
(`photo_faults.py`), and writing that curves, glows or is carved is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Block, Box, Line, Page, Quad, around
from vitapps.datasets.synth.page_blocks import cloud
from vitapps.datasets.synth.page_sheet import Sheet, made_up_words, pen_of
from vitapps.datasets.synth.pages import SyntheticPage
from vitapps.datasets.synth.photo_faults import disturb, texture
from vitapps.datasets.synth.text.fonts import Face

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]
TYPE = (9, 80)  # pixels an em
TILT = 15.0  # degrees, at most
TRIES = 12  # signs that are made; those that would lie on another or over the edge are left out


def make_scene(
    seed: int, *, side: int = 640, grounds: Sequence[Grey] = (), faces: tuple[Face, ...] = ()
) -> SyntheticPage:
    """The photograph of a seed, `side` x `side` pixels. `grounds`: pictures without writing, H W; `faces` to set the
    signs in (none: those of this machine)."""
    rng = np.random.default_rng([seed, 7])
    image = piece_of(grounds, side, rng).astype(np.float32)
    blocks: list[Block] = []
    smallest = TYPE[1]
    for _ in range(int(rng.integers(1, TRIES))):
        size = round(float(np.exp(rng.uniform(*np.log(TYPE)))))
        sheet, frame = _sign(size, rng, faces)
        matrix = _tilted(frame, side, rng)
        lines = [_moved(line, matrix) for line in sheet.blocks[0].lines]
        box = around([line.box for line in lines])
        if min(box) < 2 or max(box) > side - 2 or any(_meet(box, block.box, size) for block in blocks):
            continue
        image = _laid(image, sheet, frame, matrix, rng)
        blocks.append(Block(lines=tuple(lines), box=box))
        smallest = min(smallest, size)
    coloured = np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    worn = np.asarray(cv2.cvtColor(disturb(coloured, rng, smallest), cv2.COLOR_RGB2GRAY), np.uint8)
    return SyntheticPage(image=worn, page=Page(width=side, height=side, blocks=tuple(blocks)), kind="scene")


def piece_of(grounds: Sequence[Grey], side: int, rng: np.random.Generator) -> Grey:
    """A square of one of the pictures at some scale, mirrored or not; of a made-up texture where there are none."""
    if not len(grounds) or rng.random() < 0.3:
        made = cloud(rng, side, side) if rng.random() < 0.5 else texture(side, rng).mean(axis=2)
        return np.asarray(made, np.uint8)
    picture = grounds[int(rng.integers(len(grounds)))]
    cut = max(8, int(min(picture.shape) * rng.uniform(0.4, 1.0)))
    y, x = (int(rng.integers(extent - cut + 1)) for extent in picture.shape)
    piece = picture[y : y + cut, x : x + cut]
    piece = piece[:, ::-1] if rng.random() < 0.5 else piece
    return np.asarray(cv2.resize(piece, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)


def on_ground(image: Grey, grounds: Sequence[Grey], rng: np.random.Generator) -> Grey:
    """A page printed on a picture or in light letters on dark: H W -> H W, of the same extent."""
    height, width = image.shape
    ground = cv2.resize(piece_of(grounds, 512, rng), (width, height)).astype(np.float32) / 255
    low, high = sorted(rng.uniform(0.35, 1.0, 2))
    out = image * (low + (high - low) * ground)
    return np.asarray(255 - out if rng.random() < 0.5 else out, np.uint8)


def _sign(size: int, rng: np.random.Generator, faces: tuple[Face, ...]) -> tuple[Sheet, Box]:
    """One to four lines of type on a sheet of their own, and the frame around them."""
    sheet = Sheet.blank(8, 8, rng, faces)
    pen = pen_of(sheet.some_face(), size)
    rows = [
        made_up_words(rng, int(rng.integers(1, 4)), figures=0.15) for _ in range(int(rng.choice([1, 1, 1, 2, 3, 4])))
    ]
    if rng.random() < 0.45:
        rows = [[word.upper() for word in row] for row in rows]
    leading = size * float(rng.uniform(1.0, 1.5))
    room = size * float(rng.uniform(0.15, 1.2))
    widths = [pen.width(row) for row in rows]
    width, height = max(widths) + 2 * room, leading * (len(rows) - 1) + pen.top + pen.foot + 2 * room
    sheet.ink = sheet.ink.resize((int(width) + 1, int(height) + 1))
    centred = rng.random() < 0.5
    lines = [
        sheet.set_line(pen, row, room + (centred * (max(widths) - wide)) / 2, room + pen.top + number * leading)
        for number, (row, wide) in enumerate(zip(rows, widths, strict=True))
    ]
    sheet.add("text", lines)
    return sheet, (0.0, 0.0, width, height)


def _tilted(frame: Box, side: int, rng: np.random.Generator) -> Floats:
    """Sheet -> photograph: turned by some degrees, sheared and in perspective; 3 3."""
    _, _, width, height = frame
    angle = np.deg2rad(rng.normal(scale=3) if rng.random() < 0.7 else rng.uniform(-TILT, TILT))
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) - (width / 2, height / 2)
    turned = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = turned * (rng.uniform(0.75, 1.1), 1.0) + rng.normal(scale=0.04 * height, size=(4, 2))
    reach = np.abs(turned).max(axis=0)
    place = [rng.uniform(min(part, side / 2), max(side - part, side / 2)) for part in reach]
    target = (turned + place).astype(np.float32)
    source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, target), np.float64)


def _moved(line: Line, matrix: Floats) -> Line:
    quad: Quad = tuple(  # type: ignore[assignment]
        (float(x), float(y)) for x, y in cv2.perspectiveTransform(np.array([line.quad], np.float64), matrix)[0]
    )
    return Line(words=(), quad=quad)


def _meet(one: Box, other: Box, room: float) -> bool:
    """Whether two boxes lie less than `room` pixels apart."""
    apart = max(one[0] - other[2], other[0] - one[2], one[1] - other[3], other[1] - one[3])
    return apart < room


def _laid(
    image: NDArray[np.float32], sheet: Sheet, frame: Box, matrix: Floats, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A photograph with a sign on it, painted on the ground or on a board of its own."""
    side = (image.shape[1], image.shape[0])
    ink = cv2.warpPerspective(255 - np.asarray(sheet.ink), matrix, side, flags=cv2.INTER_AREA).astype(np.float32) / 255
    board = np.ones((int(frame[3]) + 1, int(frame[2]) + 1), np.float32)
    where = np.asarray(cv2.warpPerspective(board, matrix, side, flags=cv2.INTER_LINEAR), np.float32)
    shade = float(rng.uniform(0, 255))
    if rng.random() < 0.55:
        opaque = where * (1.0 if rng.random() < 0.7 else float(rng.uniform(0.4, 0.9)))
        image = image * (1 - opaque) + shade * opaque
    level = float((image * where).sum() / max(1.0, float(where.sum())))
    contrast = float(rng.uniform(45, 190))
    colour = level + contrast if level + contrast < 255 and (level < 90 or rng.random() < 0.5) else level - contrast
    if rng.random() < 0.15:  # a shadow of the letters
        dark = cv2.warpAffine(ink, np.array([[1, 0, 2], [0, 1, 2]], np.float32), side)
        image = image * (1 - 0.6 * dark)
    return np.asarray(image * (1 - ink) + colour * ink, np.float32)
