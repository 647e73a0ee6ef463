"""One object followed by a one-stream transformer (`models/tracker.py`) of a weight card.

The template is the first look and stays; the search region is four times the object about its last place. A Hann
window keeps the answer near it. Lost below `LOST`: the region grows frame by frame until a score of `FOUND` comes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.single import Sighting, State
from vitapps.pipelines.video.window import crop

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
SURE, LOST, FOUND = 0.5, 0.2, 0.45
_HANN = 0.35  # weight of the window against the score
_GROW, _WIDEST = 1.08, 3.0  # of the search region while lost
_EASE = 0.4  # how far the sides follow a new box


class NetworkTracker:
    """`update(frame)` as `SingleTracker`; `network` takes 1 4 S S+T and gives scores 1 1 g g and boxes 1 4 g g."""

    def __init__(self, frame: Picture, box: Floats, network: Network, *, search: int, template: int) -> None:
        self._network, self._side, self._small = network, search, template
        self.box = box
        self._wide = 1.0
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        extent = 4 * np.sqrt(size.prod()) * template / search
        self._canvas = np.zeros((1, 4, search, search + template), np.float32)
        look = crop(frame, middle, float(extent), template)
        self._canvas[0, :3, :template, search:] = look.transpose(2, 0, 1) / 255
        half = size * template / extent / 2
        x0, y0 = np.clip(np.round(template / 2 - half), 0, template).astype(int)
        x1, y1 = np.clip(np.round(template / 2 + half), 0, template).astype(int)
        self._canvas[0, 3, y0:y1, search + x0 : search + x1] = 1

    def update(self, frame: Picture) -> Sighting:
        """Where the object is now."""
        middle, size = (self.box[:2] + self.box[2:]) / 2, self.box[2:] - self.box[:2]
        extent = float(4 * np.sqrt(size.prod()) * self._wide)
        region = crop(frame, middle, extent, self._side)
        self._canvas[0, :3, :, : self._side] = region.transpose(2, 0, 1) / 255
        scores, boxes = self._network(self._canvas)
        found, score = self._best(scores[0, 0], boxes[0])
        state: State = "tracked" if score >= SURE else "uncertain" if score >= LOST else "lost"
        if self._wide > 1 and score < FOUND:
            state = "lost"
        if state == "lost":
            self._wide = min(self._wide * _GROW, _WIDEST)
            return Sighting(box=self.box, score=score, state=state)
        scale = extent / self._side
        place = found * scale + np.tile(middle - extent / 2, 2)
        fresh = place[2:] - place[:2]
        sides = size * (np.maximum(fresh, 2) / size) ** _EASE if self._wide == 1 else size
        centre = np.clip((place[:2] + place[2:]) / 2, 0, [frame.shape[1], frame.shape[0]])
        self._wide, self.box = 1.0, np.concatenate([centre - sides / 2, centre + sides / 2])
        return Sighting(box=self.box, score=score, state=state)

    def _best(self, scores: NDArray[np.float32], boxes: NDArray[np.float32]) -> tuple[Floats, float]:
        """The box of the cell of best score under the window, and its score without."""
        line = np.hanning(len(scores) + 2)[1:-1]
        ranked = (1 - _HANN) * scores + _HANN * np.outer(line, line)
        row, column = np.unravel_index(int(ranked.argmax()), scores.shape)
        return boxes[:, row, column].astype(np.float64), float(scores[row, column])


def load_network(weights: str, options: RunOptions) -> tuple[Callable[[Picture, Floats], NetworkTracker], NetworkFacts]:
    """A maker of trackers for a card of task `video.track`; MissingError for another card."""
    from vitapps.errors import MissingError
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights)
    if card.task != "video.track":
        raise MissingError(
            f"{card.name}: is a model for {card.task}", hint="give a card of `vitapps video train track`"
        )
    model = load_model(card, options)
    sides = {"search": int(card.config["search"]), "template": int(card.config["template"])}
    return lambda frame, box: NetworkTracker(frame, box, model, **sides), NetworkFacts.of(card, model)
