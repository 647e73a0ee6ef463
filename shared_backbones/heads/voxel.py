"""The last layer of a volume segmenter in numpy, a few rows of a window at a time.

All classes of a window of 80 x 96 x 80 voxels are 80 MB, and an engine that computes them holds them twice. They are
needed only to be blended, so the graph ends before the 1x1x1 convolution that makes them, at a tenth of that size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitapps.require import require
from vitapps.shared_backbones.weights.cards import Card, weights_path

Floats = NDArray[np.float32]


class ShareHead(Protocol):
    """Turns what a network gives into class shares. One row of its answer makes `scale` rows of voxels; `step` rows at
    a time stay in the cache."""

    @property
    def scale(self) -> int: ...

    @property
    def step(self) -> int: ...

    def shares(self, found: Floats, rows: slice) -> Floats:
        """Answer B C d h w -> shares of the rows, B K r H W, which sum to 1 over K; `found` may be overwritten."""
        ...


@dataclass(frozen=True, slots=True)
class SoftmaxHead:
    """For networks that give logits B K D H W themselves."""

    scale: int = 1
    step: int = 1 << 30

    def shares(self, found: Floats, rows: slice) -> Floats:
        """As the protocol says."""
        return softmax(found[:, :, rows])


@dataclass(frozen=True, slots=True)
class VoxelHead:
    """1x1x1 convolution to K x 8 channels, and those as 2x2x2 voxels: `head` and `shuffle` of
    `models/volume_segmenter.py`. `weight` K*8 C, `bias` K*8."""

    weight: Floats
    bias: Floats
    scale: int = 2
    step: int = 1

    def shares(self, found: Floats, rows: slice) -> Floats:
        """As the protocol says."""
        part = found[:, :, rows]  # B C r h w
        b, chans, r, h, w = part.shape
        logits = np.matmul(self.weight, part.reshape(b, chans, -1)) + self.bias[:, None]  # -> B K*8 r*h*w
        shares = softmax(logits.reshape(b, len(self.bias) // 8, -1))  # B K 8*r*h*w
        cells = shares.reshape(b, -1, 2, 2, 2, r, h, w).transpose(0, 1, 5, 2, 6, 3, 7, 4)  # -> B K r 2 h 2 w 2
        return cells.reshape(b, -1, 2 * r, 2 * h, 2 * w)


def head_of(card: Card) -> ShareHead:
    """The head that a card's network leaves to us. Raises MissingError where the weights are absent or damaged."""
    if not card.config.get("head_apart", False):
        return SoftmaxHead()
    path = weights_path(card)
    with require("safetensors").safe_open(str(path), "numpy") as stored:
        weight, bias = (np.asarray(stored.get_tensor(f"head.{name}"), np.float32) for name in ("weight", "bias"))
    return VoxelHead(weight.reshape(len(weight), -1), bias)


def softmax(logits: NDArray[Any]) -> Floats:
    """Shares along axis 1 of B K *spatial, without overflow and in place: the classes of a window are large."""
    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return logits
