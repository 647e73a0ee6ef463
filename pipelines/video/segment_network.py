"""Masks from one frame to the next by a network of `video train segment` (SimVOS), in place of flow and colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts

Pixels = NDArray[np.uint8]
Labels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Predict = Callable[[Floats], Sequence[Floats]]
TASK = "video.segment"


class NetworkPropagator:
    """`step(pixels) -> labels`: every object from its mask in the first frame and in the one before.

    `predict(B 12 h w) -> (logits B 1 h w,)` (`models/simvos.py`); `size` h w of the network, to which frames are
    brought whole."""

    def __init__(self, pixels: Pixels, labels: Labels, predict: Predict, size: tuple[int, int]) -> None:
        self._predict, self._size = predict, size
        self._numbers = np.array([number for number in np.unique(labels) if number], np.uint8)
        small = self._shrink(pixels)
        masks = np.stack([self._resized((labels == number).astype(np.float32)) for number in self._numbers])
        self._first, self._last = (small, masks), (small, masks)

    def step(self, pixels: Pixels) -> Labels:
        """Labels H W of the next frame H W 3."""
        small = self._shrink(pixels)
        empty = np.zeros((1, *self._size), np.float32)
        inputs = [
            np.concatenate([small, empty, self._first[0], first[None], self._last[0], last[None]])
            for first, last in zip(self._first[1], self._last[1], strict=True)
        ]
        logits = self._predict(np.stack(inputs))[0][:, 0]  # O h w
        shares = _apart(logits)
        self._last = small, shares
        height, width = pixels.shape[:2]
        found = np.zeros((height, width), np.uint8)
        best = np.full((height, width), 0.5, np.float32)
        for number, share in zip(self._numbers, shares, strict=True):
            large = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)
            found[large > best] = number
            best = np.maximum(best, large)
        return found

    def _shrink(self, pixels: Pixels) -> Floats:
        """H W 3 -> 3 h w in 0..1."""
        small = cv2.resize(pixels, self._size[::-1], interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32).transpose(2, 0, 1) / np.float32(255)

    def _resized(self, mask: Floats) -> Floats:
        return np.asarray(cv2.resize(mask, self._size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _apart(logits: Floats) -> Floats:
    """Probabilities O h w of objects that share a pixel: odds are compared with one another and with the background's
    (soft aggregation, Oh et al. 2019, STM, arXiv:1904.00607, eq. 3)."""
    odds = np.exp(np.clip(logits, -15, 15))
    return np.asarray(odds / (1 + odds.sum(axis=0, keepdims=True)), np.float32)


def load_segmenter(
    weights: str, options: RunOptions
) -> tuple[Callable[[Pixels, Labels], NetworkPropagator], NetworkFacts]:
    """A maker of propagators for a card of task `video.segment`; MissingError for another card."""
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights, TASK)
    model = load_model(card, options)
    height, width = (int(side) for side in card.config["size"])

    def begin(pixels: Pixels, labels: Labels) -> NetworkPropagator:
        return NetworkPropagator(pixels, labels, model, (height, width))

    return begin, NetworkFacts.of(card, model)
