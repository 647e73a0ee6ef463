"""The map of a trained network (`models/iml_vit.py`) in the place of the classical evidence, window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.face.evidence.fuse import Evidence, map_top
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.windows.stitch import tile_apply
from vitapps.progress import Progress, null_progress

STRIDE = 4  # pixels a cell of the network's map
Predict = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]


def load_network(weights: str, options: RunOptions) -> tuple[Predict, tuple[int, int], NetworkFacts]:
    """The compiled network of a card, its window H W and its facts; MissingError for what is no localizer."""
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights, "face.localize")
    model = load_model(card, options)
    height, width = card.preprocess["window"]
    return model, (int(height), int(width)), NetworkFacts.of(card, model)


def network_evidence(
    pixels: NDArray[np.uint8], predict: Predict, window: tuple[int, int], progress: Progress = null_progress
) -> Evidence:
    """The map of RGB H W 3 uint8 in cells of `STRIDE` pixels: windows overlap by a quarter and are blended."""

    def apply(windows: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = predict(windows.astype(np.float32) / np.float32(255))[0]  # B 3 H W -> B 1 h w
        return found.repeat(STRIDE, axis=2).repeat(STRIDE, axis=3)  # -> B 1 H W

    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))  # H W 3 -> 3 H W
    full = tile_apply(planes, apply, window=window, overlap=0.25, progress=progress)[0]
    cells = np.ascontiguousarray(full[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]).astype(np.float32)
    return Evidence(map=cells, score=map_top(cells), inliers=0, cell=STRIDE, parts={"network": cells})
