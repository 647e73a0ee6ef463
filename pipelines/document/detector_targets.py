"""What the text detector is to answer for a window of a synthetic page, and how its answers are scored in training.

Maps of a window S x S (torch tensors):
    kernel   1 S/4 S/4   1 in the middle band of a line, 0 elsewhere
    sides    2 S/4 S/4   pixels to the line's top and foot, of use where the kernel is 1
    kinds    S/16 S/16   index of `text_detector.KINDS`
    turn     S/16 S/16   index of `text_detector.TURNS` under writing, -1 elsewhere
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitapps.datasets.formats.page_text import Line, Page
from vitapps.datasets.synth.pages import SyntheticPage
from vitapps.shared_backbones.models.plain_detector import STRIDE
from vitapps.shared_backbones.models.text_detector import KINDS, TURNS

Floats = NDArray[np.float32]
TOKEN = 16  # pixels a token
BAND = (0.26, 0.74)  # of a line's height: from a little above the small letters to their feet
END = 0.12  # of a line's height, by which a kernel is shorter at each end
NOTHING, TEXT, TABLE, FIGURE = range(len(KINDS))
Sample = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Maps:
    """Targets of a whole page at the strides of the network, to cut windows from."""

    kernel: Floats  # h w
    sides: Floats  # 2 h w
    kinds: NDArray[np.int64]  # h/4 w/4
    turn: NDArray[np.int64]  # h/4 w/4


def page_maps(page: Page) -> Maps:
    """Targets of a page whose sides are multiples of 16."""
    height, width = page.height // STRIDE, page.width // STRIDE
    kernel, sides = np.zeros((height, width), np.float32), np.zeros((2, height, width), np.float32)
    coarse = (page.height // TOKEN, page.width // TOKEN)
    kinds, turn = np.full(coarse, NOTHING, np.int64), np.full(coarse, -1, np.int64)
    for block in page.blocks:
        if block.kind in ("figure", "table"):
            kinds[_cells(block.box, TOKEN)] = FIGURE if block.kind == "figure" else TABLE
        for line in block.lines:
            if block.kind != "table":
                kinds[_cells(line.box, TOKEN)] = TEXT
            turn[_cells(line.box, TOKEN)] = TURNS.index(page.rotation)
            if page.rotation == 0:
                _draw(kernel, sides, line)
    return Maps(kernel=kernel, sides=sides, kinds=kinds, turn=turn)


def _cells(box: tuple[float, float, float, float], stride: int) -> tuple[slice, slice]:
    """The cells whose centre a box covers, at least one row of them."""
    x0, y0, x1, y1 = (value / stride for value in box)
    top = max(0, int(np.floor(min(y0 + 0.5, (y0 + y1) / 2))))
    left = max(0, int(np.floor(min(x0 + 0.5, (x0 + x1) / 2))))
    return slice(top, max(top + 1, int(np.floor(y1 + 0.5)))), slice(left, max(left + 1, int(np.floor(x1 + 0.5))))


def _draw(kernel: Floats, sides: Floats, line: Line) -> None:
    """Mark the kernel of a line and its distances."""
    (ax, ay), (bx, by), _, (dx, dy) = line.quad
    length, height = np.hypot(bx - ax, by - ay), np.hypot(dx - ax, dy - ay)
    x0, y0, x1, y1 = line.box
    rows = np.arange(max(0, int(y0 // STRIDE)), min(kernel.shape[0], int(y1 // STRIDE) + 1))
    columns = np.arange(max(0, int(x0 // STRIDE)), min(kernel.shape[1], int(x1 // STRIDE) + 1))
    if not (len(rows) and len(columns)):
        return
    x, y = (columns[None, :] + 0.5) * STRIDE - ax, (rows[:, None] + 0.5) * STRIDE - ay
    along = (x * (bx - ax) + y * (by - ay)) / length  # pixels along the line, rows columns
    across = (x * (dx - ax) + y * (dy - ay)) / height  # pixels below the line's top
    low, high = BAND[0] * height, BAND[1] * height
    if high - low < STRIDE:  # thinner than a cell: still one cell high
        middle = (low + high) / 2
        low, high = middle - STRIDE / 2, middle + STRIDE / 2
    end = min(END * height, 0.3 * length)
    inside = (across >= low) & (across < high) & (along >= end) & (along < length - end)
    where = np.ix_(rows, columns)
    kernel[where] = np.maximum(kernel[where], inside)
    for part, distance in enumerate((across, height - across)):
        patch = sides[part][where]
        sides[part][where] = np.where(inside, distance, patch)


def windows_of(made: SyntheticPage, number: int, size: int, rng: np.random.Generator) -> Iterable[Sample]:
    """Random windows of a page, most of them around writing, padded with the edge's grey where the page is smaller."""
    down, right = (-made.image.shape[0]) % TOKEN, (-made.image.shape[1]) % TOKEN
    down, right = max(down, size - made.image.shape[0]), max(right, size - made.image.shape[1])
    down, right = down + (-(made.image.shape[0] + down)) % TOKEN, right + (-(made.image.shape[1] + right)) % TOKEN
    image = np.pad(made.image, ((0, down), (0, right)), mode="edge")
    page = Page(width=image.shape[1], height=image.shape[0], blocks=made.page.blocks, rotation=made.page.rotation)
    maps = page_maps(page)
    lines = made.page.lines
    for _ in range(number):
        x, y = rng.uniform(0, page.width), rng.uniform(0, page.height)
        if lines and rng.random() < 0.85:
            x0, y0, x1, y1 = lines[int(rng.integers(len(lines)))].box
            x, y = rng.uniform(x0, x1), (y0 + y1) / 2 + rng.normal(scale=size / 6)
        left, top = _start(x, size, page.width), _start(y, size, page.height)
        fine = slice(top // STRIDE, (top + size) // STRIDE), slice(left // STRIDE, (left + size) // STRIDE)
        coarse = slice(top // TOKEN, (top + size) // TOKEN), slice(left // TOKEN, (left + size) // TOKEN)
        grey = image[top : top + size, left : left + size].astype(np.float32) / 255
        kernel = (
            maps.kernel[None][:, *fine] if page.rotation == 0 else np.full((1, size // 4, size // 4), -1, np.float32)
        )
        arrays = (grey[None], kernel, maps.sides[:, *fine], maps.kinds[coarse], maps.turn[coarse])
        yield tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in arrays)  # type: ignore[misc]


def _start(middle: float, size: int, whole: int) -> int:
    return int(np.clip(middle - size / 2, 0, whole - size)) // TOKEN * TOKEN


def detector_loss(
    outputs: tuple[Tensor, Tensor, Tensor], kernel: Tensor, sides: Tensor, kinds: Tensor, turn: Tensor
) -> Tensor:
    """Cross entropy and Dice of the kernel, relative error of the sides, cross entropy of kinds and turns."""
    logits, found, regions = outputs
    known = (kernel >= 0).float()  # B 1 h w; pages that are not upright do not teach the kernel
    target = kernel.clamp(min=0)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, weight=known * (1 + target), reduction="sum")
    chance = logits.sigmoid() * known
    dice = 1 - (2 * (chance * target).sum() + 1) / ((chance + target * known).sum() + 1)
    ratio = (found.clamp(min=0.5).log() - sides.clamp(min=0.5).log()) * target
    side = ratio.abs().sum() / (2 * target.sum() + 1)
    kind = functional.cross_entropy(regions[:, : len(KINDS)], kinds)
    way = functional.cross_entropy(regions[:, len(KINDS) :], turn, ignore_index=-1, reduction="sum")
    written = (turn >= 0).sum() + 1
    return entropy / (known.sum() + 1) + dice + 2 * side + 0.5 * kind + 0.5 * way / written
