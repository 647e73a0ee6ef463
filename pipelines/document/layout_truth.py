"""What the layout head is to answer for the elements of a synthetic page, and how its answers are scored in training.

Targets of n elements (torch tensors):
    kinds   n    index of `layout_head.LAYOUT_KINDS`
    block   n    number of the block in reading order, -1 for what belongs to none
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitapps.datasets.formats.page_text import Block, Box, shared_area
from vitapps.shared_backbones.models.layout_head import LAYOUT_KINDS

Ints = NDArray[np.int64]
INSIDE = 0.5  # share of an element in a block of the truth, from which it belongs to it
LINKS, ORDER = 1.0, 0.5  # weights of the losses of pairs beside that of kinds


def targets_of(boxes: Sequence[Box], blocks: Sequence[Block]) -> tuple[Ints, Ints]:
    """Kind and block of every element by the blocks of the truth, boxes in the same pixels: a line of the truth that
    holds most of an element counts before a block that does, the smaller block before the larger."""
    kinds, numbers = np.zeros(len(boxes), np.int64), np.full(len(boxes), -1, np.int64)
    areas = [(block.box[2] - block.box[0]) * (block.box[3] - block.box[1]) for block in blocks]
    for place, box in enumerate(boxes):
        by_line = {number: sum(_share(box, line.box) for line in block.lines) for number, block in enumerate(blocks)}
        number = max(by_line, key=by_line.__getitem__, default=-1)
        if number < 0 or by_line[number] < INSIDE:
            holding = [number for number, block in enumerate(blocks) if _share(box, block.box) > INSIDE]
            number = min(holding, key=areas.__getitem__, default=-1)
        if number >= 0:
            kinds[place], numbers[place] = LAYOUT_KINDS.index(blocks[number].kind), number
    return kinds, numbers


def _share(box: Box, other: Box) -> float:
    """Share of a box inside another."""
    return shared_area(box, other) / max((box[2] - box[0]) * (box[3] - box[1]), 1e-9)


def layout_loss(outputs: tuple[Tensor, ...], kinds: Tensor, block: Tensor) -> Tensor:
    """Entropy of kinds, links and order of one page; outputs 1 n K, 1 n n, 1 n n. Order is asked of pairs of different
    blocks alone."""
    answers, links, order = (output[0] for output in outputs)
    known = block >= 0
    both = known[:, None] & known[None, :]
    one = both & (block[:, None] == block[None, :])
    apart = ~torch.eye(len(block), dtype=torch.bool, device=block.device)
    near = functional.binary_cross_entropy_with_logits(links, one.float(), reduction="none")
    link = (near * apart).sum() / ((one & apart).sum() + len(block))
    other = both & ~one
    before = (block[:, None] < block[None, :]).float()
    first = functional.binary_cross_entropy_with_logits(order, before, reduction="none")
    kind = functional.cross_entropy(answers, kinds)
    loss: Tensor = kind + LINKS * link + ORDER * (first * other).sum() / other.sum().clamp(min=1)
    return loss
