"""What follows one object: the correlation filter, a network, or the filter with a network that draws its box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
EMBEDDED = "track-lorat-s"


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


class FusedTracker:
    """The filter says where the object is and whether it is lost; the network looks there, and the box that is told
    lies between both. The filter goes on from its own box, so that a wrong look of the network leaves no trace."""

    def __init__(self, frame: Picture, box: Floats, network: TrackNetwork, pull: Pull | None = None) -> None:
        self._pull = pull or Pull()
        look = Look(frame)
        self._filter, self._network = SingleTracker(look, box), NetworkTracker(look, box, network)

    def update(self, frame: Picture) -> Sighting:
        """Where the object is now; score and state are the filter's."""
        look = Look(frame)
        found = self._filter.update(look)
        if found.state == "lost":
            return found
        seen, score = self._network.look(look, found.box)
        if score < LOST:
            return found
        return Sighting(box=_between(found.box, seen, self._pull), score=found.score, state=found.state)


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


def _between(own: Floats, seen: Floats, pull: Pull) -> Floats:
    size = own[2:] - own[:2]
    shift = pull.centre * (seen[:2] + seen[2:] - own[:2] - own[2:]) / 2
    growth = size * ((np.maximum(seen[2:] - seen[:2], 2) / size) ** pull.sides - 1) / 2
    return np.asarray(own + np.concatenate([shift - growth, shift + growth]))
