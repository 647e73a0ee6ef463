"""What follows one object: the correlation filter, a network, or the filter with a network that draws its box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.pipelines.video.single import Sighting, SingleTracker
from vitapps.pipelines.video.track_choices import TrackerKind
from vitapps.pipelines.video.track_network import LOST, NetworkTracker, TrackNetwork, load_network
from vitapps.pipelines.video.window import Look
from vitapps.pipelines.windows.boxes import box_iou

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
EMBEDDED = "track-lorat-s"
WIDTHS = (1.0, 1.25)  # of the search region, by turns
_LOGISTIC = (-8.9, 0.8, 7.4, 7.8)  # constant, log odds of the filter's score, network's score, IoU of both boxes
_EVEN = 0.5  # score below which a box is rather wrong than right


class Follower(Protocol):
    """What follows one object."""

    def update(self, frame: Picture) -> Sighting:
        """Where the object is in the next frame."""
        ...


Maker = Callable[[Picture, Floats], Follower]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pull:
    """How far, 0..1, the filter's box goes to the network's: its `centre`, and its `sides` as a ratio."""

    centre: float = 0.5
    sides: float = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class _Offset:
    """What the network saw against the filter's box: `shift` of the middle in sides, `growth` of the sides as natural
    logarithms, `score` 0..1."""

    shift: Floats
    growth: Floats
    score: float

    @classmethod
    def of(cls, own: Floats, seen: Floats, score: float) -> _Offset:
        size = own[2:] - own[:2]
        shift = (seen[:2] + seen[2:] - own[:2] - own[2:]) / 2 / size
        return cls(shift=shift, growth=np.log(np.maximum(seen[2:] - seen[:2], 2) / size), score=score)


class FusedTracker:
    """The filter says where the object is and whether it is lost; the network looks there, and the box that is told
    lies between both. The filter goes on from its own box, so that a wrong look of the network leaves no trace.

    The network looks near and wide by turns (`WIDTHS`), and its last two looks count by their scores: two views of the
    object at the cost of one a frame.

    The score is a logistic fit to drawn scenes (`tracked_scenes.py`): the filter's score, the network's, and how far
    both boxes agree."""

    def __init__(self, frame: Picture, box: Floats, network: TrackNetwork, pull: Pull | None = None) -> None:
        self._pull = pull or Pull()
        look = Look(frame)
        self._filter, self._network = SingleTracker(look, box), NetworkTracker(look, box, network)
        self._looks = 0
        self._last: _Offset | None = None

    def update(self, frame: Picture) -> Sighting:
        """Where the object is now; lost is what the filter says is lost."""
        look = Look(frame)
        found = self._filter.update(look)
        if found.state == "lost":
            self._last = None
            return found
        seen, score = self._network.look(look, found.box, WIDTHS[self._looks % len(WIDTHS)])
        now = _Offset.of(found.box, seen, score) if score >= LOST else None
        found = _judged(found, seen, score)
        known = [item for item in (now, self._last) if item is not None]
        self._looks, self._last = self._looks + 1, now
        if not known:
            return found
        return Sighting(box=_between(found.box, known, self._pull), score=found.score, state=found.state)


def make_trackers(kind: TrackerKind, weights: str | None, options: RunOptions) -> tuple[Maker, list[NetworkFacts]]:
    """What makes the follower of one object, and the networks that it runs. "auto" is the network `weights` where they
    are given, else "fused" with the embedded one. Raises UsageError for a filter with weights, else as `load_network`.
    """
    if kind == "filter":
        if weights:
            raise UsageError("--tracker filter runs no network", hint="leave --weights out, or --tracker network")
        return SingleTracker, []
    network, facts = load_network(weights or EMBEDDED, options)
    if kind == "network" or (kind == "auto" and weights):
        return lambda frame, box: NetworkTracker(frame, box, network), [facts]
    return lambda frame, box: FusedTracker(frame, box, network), [facts]


def _judged(found: Sighting, seen: Floats, score: float) -> Sighting:
    """The filter's sighting with the score of both, given what the network saw."""
    start, by_filter, by_network, by_overlap = _LOGISTIC
    odds = float(np.clip(found.score, 1e-3, 1 - 1e-3))
    overlap = float(box_iou(found.box[None], seen[None])[0, 0])
    total = start + by_filter * np.log(odds / (1 - odds)) + by_network * score + by_overlap * overlap
    likely = float(1 / (1 + np.exp(-total)))
    return replace(found, score=likely, state="uncertain" if likely < _EVEN else found.state)


def _between(own: Floats, seen: Sequence[_Offset], pull: Pull) -> Floats:
    """The filter's box drawn towards the mean of what was seen."""
    size, total = own[2:] - own[:2], sum(item.score for item in seen)
    shift = pull.centre * size * sum(item.score * item.shift for item in seen) / total
    growth = size * (np.exp(pull.sides * sum(item.score * item.growth for item in seen) / total) - 1) / 2
    return np.asarray(own + np.concatenate([shift - growth, shift + growth]))
