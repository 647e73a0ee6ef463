"""The filter with a network that draws its box."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.clips import squares
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.video.followers import WIDTHS, FusedTracker, Pull, _judged, make_trackers
from vitapps.pipelines.video.single import SingleTracker
from vitapps.pipelines.video.track_network import TrackNetwork


def network(score: float) -> TrackNetwork:
    """Sees the object 10 pixels to the right of the middle of its region, 20 pixels wide and 40 high, in a region of
    96 pixels."""

    def run(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        scores = np.zeros((1, 1, 6, 6), np.float32)
        scores[0, 0, 3, 3] = score
        box = np.array([48 + 10 - 10, 48 - 20, 48 + 10 + 10, 48 + 20], np.float32)
        return scores, np.broadcast_to(box[None, :, None, None], (1, 4, 6, 6))

    return TrackNetwork(run=run, search=96, template=48)


def boxes(pull: Pull, score: float) -> NDArray[np.float64]:
    pictures, drawn = squares(frames=6)
    x, y, w, h = drawn[0]
    tracker = FusedTracker(pictures[0], np.array([x, y, x + w, y + h], np.float64), network(score), pull)
    return np.array([tracker.update(picture).box for picture in pictures[1:]])


def plain() -> NDArray[np.float64]:
    pictures, drawn = squares(frames=6)
    x, y, w, h = drawn[0]
    tracker = SingleTracker(pictures[0], np.array([x, y, x + w, y + h], np.float64))
    return np.array([tracker.update(picture).box for picture in pictures[1:]])


def test_no_pull_and_no_trust_are_the_filter_bit_for_bit() -> None:
    assert (boxes(Pull(centre=0, sides=0), 0.9) == plain()).all()
    assert (boxes(Pull(), 0.1) == plain()).all()


def test_the_box_goes_to_the_networks_and_the_filter_goes_on_from_its_own() -> None:
    own, found = plain(), boxes(Pull(centre=1, sides=1), 0.9)
    scale = 4 * np.sqrt((own[:, 2:] - own[:, :2]).prod(axis=1)) / 96  # frame pixels a region pixel
    wide = np.array([1.0, *[sum(WIDTHS) / 2] * 4])  # the first look is near, then near and wide count alike
    tall = np.array([1.0, *[np.sqrt(WIDTHS[0] * WIDTHS[1])] * 4])
    middle = (own[:, :2] + own[:, 2:]) / 2
    assert ((found[:, 0] + found[:, 2]) / 2 - middle[:, 0]).tolist() == pytest.approx(
        (10 * wide * scale).tolist(), 0.02
    )
    assert (found[:, 3] - found[:, 1]).tolist() == pytest.approx((40 * tall * scale).tolist(), 0.02)
    half = boxes(Pull(centre=0.5, sides=0.5), 0.9)
    assert ((half[:, 0] + half[:, 2]) / 2 - middle[:, 0]).tolist() == pytest.approx((5 * wide * scale).tolist(), 0.02)


def test_a_filter_takes_no_weights() -> None:
    assert make_trackers("filter", None, RunOptions()) == (SingleTracker, [])
    with pytest.raises(UsageError, match="no network"):
        make_trackers("filter", "track-lorat-s", RunOptions())


def test_the_score_falls_where_filter_and_network_differ() -> None:
    """The network always sees the object beside the filter's box, surely or not: such a box is not to be trusted."""
    pictures, drawn = squares(frames=3)
    x, y, w, h = drawn[0]
    start = np.array([x, y, x + w, y + h], np.float64)
    alone = SingleTracker(pictures[0], start).update(pictures[1])
    seen = [FusedTracker(pictures[0], start, network(score)).update(pictures[1]) for score in (0.9, 0.3)]
    assert alone.score > 0.8 > seen[0].score > seen[1].score
    assert alone.state == "tracked" and seen[1].state == "uncertain"
    assert _judged(alone, alone.box, 0.9).score > 0.97
