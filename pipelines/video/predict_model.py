"""A network that continues clips, ready to run: from a card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts

NAME, TASK = "moving-digits", "video.predict"
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictModel:
    """`predict(1 T 1 H W) -> 1 T 1 H W` of `frames` T and `size` H W, grey in 0..1."""

    predict: Callable[[Floats], Floats]
    frames: int
    size: tuple[int, int]
    facts: NetworkFacts

    def go_on(self, seen: Floats, horizon: int) -> Floats:
        """The `horizon` frames after T H W, in 0..1; beyond T it goes on from its own frames: horizon H W."""
        clip, parts = seen[-self.frames :], []
        for _ in range(-(-horizon // self.frames)):
            clip = np.clip(self.predict(np.ascontiguousarray(clip[None, :, None], np.float32))[0, :, 0], 0, 1)
            parts.append(clip)
        return np.concatenate(parts)[:horizon]

    def shrink(self, pixels: NDArray[np.uint8]) -> Floats:
        """A frame H W 3 (or H W) as the network takes it: grey, at its size, in 0..1."""
        grey = pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        if grey.shape != self.size:
            grey = np.asarray(cv2.resize(grey, self.size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        return grey.astype(np.float32) / np.float32(255)


def load_predict_model(weights: str, options: RunOptions) -> PredictModel:
    """A card's name or path. MissingError for weights that are not there, or of another task."""
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights, TASK)
    if card.preprocess.get("channels") != 1:
        raise MissingError(f"weights '{card.name}' take no grey frames", hint="vitapps video train predict")
    model = load_model(card, options)
    height, width = (int(side) for side in card.preprocess["size"])
    return PredictModel(
        predict=lambda clip: model(clip)[0], frames=int(card.preprocess["frames"]), size=(height, width),
        facts=NetworkFacts.of(card, model),
    )  # fmt: skip
