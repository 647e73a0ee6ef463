"""One object followed by a one-stream transformer (`models/tracker.py`): a weight card's, or a published one.

The template is the first look and stays; the search region lies about the last place. A Hann window keeps the answer
near it. Lost below `LOST`: the region grows frame by frame until a score of `FOUND` comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.runtime.devices import torch_device
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.single import Sighting, State
from vitapps.pipelines.video.window import Look, crop

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
SURE, LOST, FOUND = 0.5, 0.2, 0.45
_HANN = 0.35  # weight of the window against the score
_GROW, _WIDEST = 1.08, 3.0  # of the search region while lost
_EASE = 0.4  # how far the sides follow a new box


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackNetwork:
    """`run` takes 1 4 S S+T and gives scores 1 1 g g and boxes 1 4 g g; `search` S and `template` T pixels. The search
    region is `factor` times as wide as the object, the template 2 times; `around`: by the root of its area, or by both
    sides plus `factor` - 1 times their mean (LoRAT)."""

    run: Network
    search: int
    template: int
    factor: float = 4.0
    around: Literal["area", "sides"] = "area"

    def extent(self, size: Floats, factor: float) -> float:
        """Pixels a side of the square that shows an object of `size` w h."""
        if self.around == "sides":
            return float(np.sqrt((size + (factor - 1) * size.mean()).prod()))
        return float(factor * np.sqrt(size.prod()))


class NetworkTracker:
    """`update(frame)` as `SingleTracker`."""

    def __init__(self, frame: Picture | Look, box: Floats, network: TrackNetwork) -> None:
        self._network = network
        self.box = box
        self._wide = 1.0
        side, small = network.search, network.template
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        extent = network.extent(size, 2.0)
        self._canvas = np.zeros((1, 4, side, side + small), np.float32)
        self._canvas[0, :3, :small, side:] = crop(frame, middle, extent, small).transpose(2, 0, 1) / 255
        half = size * small / extent / 2
        x0, y0 = np.clip(np.round(small / 2 - half), 0, small).astype(int)
        x1, y1 = np.clip(np.round(small / 2 + half), 0, small).astype(int)
        self._canvas[0, 3, y0:y1, side + x0 : side + x1] = 1

    def update(self, frame: Picture | Look) -> Sighting:
        """Where the object is now."""
        size = self.box[2:] - self.box[:2]
        found, score = self.look(frame, self.box, self._wide)
        state: State = "tracked" if score >= SURE else "uncertain" if score >= LOST else "lost"
        if self._wide > 1 and score < FOUND:
            state = "lost"
        if state == "lost":
            self._wide = min(self._wide * _GROW, _WIDEST)
            return Sighting(box=self.box, score=score, state=state)
        sides = size * (np.maximum(found[2:] - found[:2], 2) / size) ** _EASE if self._wide == 1 else size
        centre = np.clip((found[:2] + found[2:]) / 2, 0, [frame.shape[1], frame.shape[0]])
        self._wide, self.box = 1.0, np.concatenate([centre - sides / 2, centre + sides / 2])
        return Sighting(box=self.box, score=score, state=state)

    def look(self, frame: Picture | Look, about: Floats, wide: float = 1.0) -> tuple[Floats, float]:
        """The box x0 y0 x1 y1 in the frame that the network sees around the box `about`, and its score; nothing is
        remembered. `wide` widens the region."""
        middle, side = (about[:2] + about[2:]) / 2, self._network.search
        extent = wide * self._network.extent(about[2:] - about[:2], self._network.factor)
        self._canvas[0, :3, :, :side] = crop(frame, middle, extent, side).transpose(2, 0, 1) / 255
        scores, boxes = self._network.run(self._canvas)
        found, score = _best(scores[0, 0], boxes[0])
        return found * extent / side + np.tile(middle - extent / 2, 2), score


def _best(scores: NDArray[np.float32], boxes: NDArray[np.float32]) -> tuple[Floats, float]:
    """The box of the cell of best score under the window, and its score without."""
    line = np.hanning(len(scores) + 2)[1:-1]
    ranked = (1 - _HANN) * scores + _HANN * np.outer(line, line)
    row, column = np.unravel_index(int(ranked.argmax()), scores.shape)
    return boxes[:, row, column].astype(np.float64), float(scores[row, column])


def load_network(weights: str, options: RunOptions) -> tuple[TrackNetwork, NetworkFacts]:
    """A card of task `video.track`, or a published tracker (`lorat:…`, `ostrack:…`; these need torch).

    Raises MissingError for weights that are not there or of another task, UsageError for another architecture.
    """
    if weights.partition(":")[0] in ("lorat", "ostrack"):
        return _published(weights, options)
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights, "video.track")
    model = load_model(card, options)
    network = TrackNetwork(
        run=model, search=int(card.config["search"]), template=int(card.config["template"]),
        factor=float(card.preprocess.get("factor", 4.0)),
    )  # fmt: skip
    return network, NetworkFacts.of(card, model)


def _published(weights: str, options: RunOptions) -> tuple[TrackNetwork, NetworkFacts]:
    import torch

    from vitapps.shared_backbones.weights.published_tracker import load_published_tracker

    found = load_published_tracker(weights)
    device = torch_device(options)
    module = found.module.to(device)

    def run(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            return tuple(part.float().cpu().numpy() for part in module(torch.from_numpy(image).to(device)))

    facts = NetworkFacts(
        name=found.name, sha256=found.sha256, engine="torch", precision="exact", device=device,
        threads=options.threads, reason="a published checkpoint has no saved graph",
    )  # fmt: skip
    network = TrackNetwork(
        run=run, search=found.config.search, template=found.config.template, factor=found.factor, around=found.around
    )
    return network, facts
