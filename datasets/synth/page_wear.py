"""What scanner, camera and time do to a sheet: turns, skew, borders, paper, light, ink, noise, thresholds, JPEG.

The families of defects are those of Baird (Document Image Defect Models, 1992) and Kanungo (1993): blur, threshold,
per-pixel sensitivity, ink spread; show-through is a second sheet, mirrored and faint.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Block, Line, Page, Quad, Word, box_of
from vitapps.datasets.synth.page_blocks import cloud

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]


def wear(image: Grey, rng: np.random.Generator, *, receipt: bool = False) -> Grey:
    """A used and scanned sheet of the same size."""
    sheet = image.astype(np.float32)
    if rng.random() < 0.25:
        sheet = _ink_spread(sheet, rng)
    if rng.random() < 0.15:
        sheet = _show_through(sheet, rng)
    if rng.random() < (0.5 if receipt else 0.2):
        sheet = _faded(sheet, rng)
    if rng.random() < 0.5:
        sheet = np.asarray(cv2.GaussianBlur(sheet, (0, 0), float(rng.uniform(0.3, 1.1))), np.float32)
    if rng.random() < 0.25:
        sheet = _halved(sheet, rng)
    if rng.random() < 0.6:
        sheet = _light(sheet, rng)
    if rng.random() < 0.5:
        sheet = sheet + rng.normal(scale=rng.uniform(1, 14), size=sheet.shape).astype(np.float32)
    if rng.random() < 0.3:
        sheet = _bilevel(sheet, rng)
    if rng.random() < 0.15:
        sheet = _scribble(sheet, rng)
    worn = np.asarray(sheet.clip(0, 255), np.uint8)
    if rng.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))]
        worn = np.asarray(cv2.imdecode(cv2.imencode(".jpg", worn, quality)[1], cv2.IMREAD_GRAYSCALE), np.uint8)
    return worn


def _ink_spread(sheet: Floats, rng: np.random.Generator) -> Floats:
    """Strokes grown or thinned by up to a pixel."""
    kernel = np.ones((2, 2) if rng.random() < 0.6 else (1, 3), np.uint8)
    moved = cv2.erode(sheet, kernel) if rng.random() < 0.6 else cv2.dilate(sheet, kernel)
    share = float(rng.uniform(0.3, 1.0))
    return np.asarray(share * moved + (1 - share) * sheet, np.float32)


def _show_through(sheet: Floats, rng: np.random.Generator) -> Floats:
    """The back of the leaf: this sheet mirrored and upside down, blurred and faint."""
    back = cv2.GaussianBlur(np.ascontiguousarray(sheet[::-1, ::-1]), (0, 0), float(rng.uniform(0.7, 2)))
    strength = float(rng.uniform(0.05, 0.3))
    return np.asarray(sheet - strength * (255 - back) * (sheet / 255), np.float32)


def _faded(sheet: Floats, rng: np.random.Generator) -> Floats:
    """Pale ink, paler in places and in streaks of the print head."""
    height, width = sheet.shape
    pale = float(rng.uniform(0.25, 0.8))
    patches = cv2.resize(rng.uniform(0.6, 1.0, (6, 4)).astype(np.float32), (width, height))
    streaks = np.where(rng.random(width) < 0.03, rng.uniform(0.2, 1.0, width), 1.0).astype(np.float32)
    return np.asarray(255 - (255 - sheet) * pale * patches * streaks[None, :], np.float32)


def _halved(sheet: Floats, rng: np.random.Generator) -> Floats:
    """Scanned with fewer dots an inch and enlarged again."""
    height, width = sheet.shape
    share = float(rng.uniform(0.5, 0.9))
    small = cv2.resize(sheet, (max(8, int(width * share)), max(8, int(height * share))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _light(sheet: Floats, rng: np.random.Generator) -> Floats:
    """Grey or uneven paper: a smooth field times the sheet, ink that is not black."""
    height, width = sheet.shape
    black = float(rng.uniform(0, 70))
    field = cv2.resize(rng.uniform(rng.uniform(0.45, 0.95), 1.0, (3, 3)).astype(np.float32), (width, height),
                       interpolation=cv2.INTER_CUBIC)  # fmt: skip
    if rng.random() < 0.25:  # a fold or a shadow
        across = np.abs(np.arange(height) - rng.uniform(0, height)) / (0.02 * height)
        field = field * (1 - 0.25 * np.exp(-across)).astype(np.float32)[:, None]
    return np.asarray((black + sheet * (1 - black / 255)) * field, np.float32)


def _bilevel(sheet: Floats, rng: np.random.Generator) -> Floats:
    """Black and white, by a threshold around the local mean, with specks."""
    limit = cv2.blur(sheet, (61, 61)) - float(rng.uniform(15, 60))
    noise = cv2.GaussianBlur(rng.normal(scale=30, size=sheet.shape).astype(np.float32), (0, 0), 0.8)
    out = np.where(sheet + noise > limit, 255.0, 0.0)
    specks = rng.random(sheet.shape) < rng.uniform(0, 0.0015)
    return np.asarray(np.where(specks, 255 - out, out), np.float32)


def _scribble(sheet: Floats, rng: np.random.Generator) -> Floats:
    """A signature, a tick or a ring of a pen, which is no line of writing."""
    height, width = sheet.shape
    start = rng.uniform((0.1 * width, 0.1 * height), (0.9 * width, 0.9 * height))
    steps = np.cumsum(rng.normal(scale=0.02 * width, size=(24, 2)), axis=0)
    smooth = cv2.GaussianBlur((start + steps)[:, None].astype(np.float32), (1, 5), 1.2)
    shade = float(rng.uniform(20, 130))
    return np.asarray(cv2.polylines(sheet.copy(), [smooth.astype(np.int32)], False, shade, int(rng.integers(1, 4))))


def turn_sheet(
    image: Grey, blocks: tuple[Block, ...], *, turn: int, skew: float, rng: np.random.Generator
) -> tuple[Grey, Page]:
    """Lay a sheet on a larger ground turned by `skew` degrees clockwise, then turn all so that `turn` degrees clockwise
    make it upright again. Returns the picture and the page with every corner moved along."""
    height, width = image.shape
    margin = [int(value) for value in rng.integers(0, 40, 4)]
    angle = np.deg2rad(skew)
    grow = int(abs(np.sin(angle)) * max(height, width) * rng.uniform(0.2, 1.0))
    wide, high = width + margin[0] + margin[1] + grow, height + margin[2] + margin[3] + grow
    move = cv2.getRotationMatrix2D((width / 2, height / 2), -skew, 1.0)
    move[:, 2] += (wide - width) / 2, (high - height) / 2
    ground = _ground(high, wide, float(np.median(image)), rng)
    laid = cv2.warpAffine(image, move, (wide, high), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(np.ones_like(image), move, (wide, high), flags=cv2.INTER_NEAREST)
    laid = np.where(mask > 0, laid, ground).astype(np.uint8)
    quarter = np.vstack([move, [0, 0, 1]])
    turned = np.ascontiguousarray(np.rot90(laid, turn // 90))  # counter-clockwise, undone by clockwise turns
    quarter = _quarter_matrix(turn, wide, high) @ quarter
    moved = tuple(moved_block(block, quarter) for block in blocks)
    page = Page(width=turned.shape[1], height=turned.shape[0], blocks=moved, rotation=turn, skew=skew, dpi_guessed=True)
    return np.asarray(turned, np.uint8), page


def _ground(height: int, width: int, paper: float, rng: np.random.Generator) -> Grey:
    """What the sheet lies on: more paper, the scanner's black or grey lid, or a table."""
    draw = rng.random()
    if draw < 0.5:
        return np.full((height, width), paper, np.uint8)
    if draw < 0.75:
        return np.full((height, width), int(rng.integers(0, 60)), np.uint8)
    return np.asarray(cloud(rng, height, width) // 2 + int(rng.integers(0, 90)), np.uint8)


def _quarter_matrix(turn: int, width: int, height: int) -> NDArray[np.float64]:
    """Pixel corners of a picture width x height -> of the picture after `turn` degrees counter-clockwise."""
    rows = {
        0: [[1, 0, 0], [0, 1, 0]],
        90: [[0, 1, 0], [-1, 0, width]],
        180: [[-1, 0, width], [0, -1, height]],
        270: [[0, -1, height], [1, 0, 0]],
    }[turn % 360]
    return np.array([*rows, [0, 0, 1]], np.float64)


def _moved(quad: Quad, matrix: NDArray[np.float64]) -> Quad:
    (a, b, c, d) = (matrix @ [x, y, 1.0] for x, y in quad)
    return ((a[0], a[1]), (b[0], b[1]), (c[0], c[1]), (d[0], d[1]))


def moved_block(block: Block, matrix: NDArray[np.float64]) -> Block:
    lines = tuple(
        Line(
            words=tuple(Word(text=word.text, quad=_moved(word.quad, matrix)) for word in line.words),
            quad=_moved(line.quad, matrix),
        )
        for line in block.lines
    )
    x0, y0, x1, y1 = block.box
    corners = _moved(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), matrix)
    return Block(kind=block.kind, lines=lines, box=box_of(corners))
