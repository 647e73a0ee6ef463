"""The map of a trained network (`models/iml_vit.py`), window by window: from the pixels, in the place of the classical
evidence, or from its local traces, in the place of their weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.face.evidence.fuse import Calibration, Evidence, Map, gather, map_top, reread
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.windows.stitch import tile_apply
from vitapps.progress import Progress, null_progress

STRIDE = 4  # pixels a cell of the network's map
TRACES = ("ela", "ela_texture", "noise", "grid", "ghost")
_SPREAD = 3.0  # deviations of a trace that count as 1
_OVERLAP = 0.25
Predict = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Localizer:
    """A network with its `window` H W: of pixels, or with `traces` of cells of their maps."""

    predict: Predict
    window: tuple[int, int]
    traces: bool
    facts: NetworkFacts = field(default_factory=NetworkFacts)

    @classmethod
    def load(cls, weights: str, options: RunOptions) -> Localizer:
        """The compiled network of a card; MissingError for what is no localizer."""
        from vitapps.shared_backbones.engines.load import load_model
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(weights, "face.localize")
        model = load_model(card, options)
        height, width = card.preprocess["window"]
        traces = bool(card.config["traces"])
        return cls(predict=model, window=(int(height), int(width)), traces=traces, facts=NetworkFacts.of(card, model))

    def evidence(
        self, pixels: NDArray[np.uint8], calibration: Calibration | None = None, progress: Progress = null_progress
    ) -> Evidence:
        """Of RGB H W 3 uint8. What is read from traces keeps self-match and the score of the whole picture."""
        if self.traces:
            return self.reread(gather(pixels, calibration=calibration, progress=progress), pixels)
        return network_evidence(pixels, self.predict, self.window, progress)

    def reread(self, evidence: Evidence, pixels: NDArray[np.uint8]) -> Evidence:
        """All evidence of RGB H W 3 uint8 as this network sees it."""
        return reread(evidence, pixels, self._local) if self.traces else self.evidence(pixels)

    def _local(self, parts: dict[str, Map], guide: Map) -> Map:
        found = tile_apply(
            planes_of(parts, guide), lambda windows: self.predict(windows)[0], window=self.window, overlap=_OVERLAP
        )
        return np.asarray(found[0], np.float32)  # 1 h w -> h w


def planes_of(parts: dict[str, Map], guide: Map) -> NDArray[np.float32]:
    """What a network of traces sees, 3+5 h w: the colours of `guide` h w 3 and the local traces."""
    traces = np.stack([parts[name] for name in TRACES]) / np.float32(_SPREAD)
    return np.concatenate([guide.transpose(2, 0, 1), traces]).astype(np.float32)


def network_evidence(
    pixels: NDArray[np.uint8], predict: Predict, window: tuple[int, int], progress: Progress = null_progress
) -> Evidence:
    """The map of RGB H W 3 uint8 in cells of `STRIDE` pixels: windows overlap by a quarter and are blended."""

    def apply(windows: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = predict(windows.astype(np.float32) / np.float32(255))[0]  # B 3 H W -> B 1 h w
        return found.repeat(STRIDE, axis=2).repeat(STRIDE, axis=3)  # -> B 1 H W

    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))  # H W 3 -> 3 H W
    full = tile_apply(planes, apply, window=window, overlap=_OVERLAP, progress=progress)[0]
    cells = np.ascontiguousarray(full[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]).astype(np.float32)
    return Evidence(map=cells, score=map_top(cells), inliers=0, cell=STRIDE, parts={"network": cells})
