"""The published trackers that ours is compared with: what each paper says it does and the others do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vitapps.pipelines.video.box_kalman import AreaKalman, HeightKalman
from vitapps.pipelines.video.mot_baselines import BASELINES, Sighted, _Track, _turns, byte_track, oc_sort, sort
from vitapps.pipelines.video.mot_detections import NOTHING, Detections


def walker(seconds: Sequence[float], scores: Sequence[float] | None = None) -> list[Detections]:
    """One detection a frame, 4 pixels further each; a score of 0 is none at all."""
    frames = []
    for frame, score in zip(seconds, scores or [0.9] * len(seconds), strict=True):
        box = np.array([[10 + 4 * frame, 20, 30 + 4 * frame, 80]], np.float64)
        frames.append(Detections(boxes=box, scores=np.array([score])) if score else NOTHING)
    return frames


def ids(rows: Sequence[Sighted]) -> list[list[int]]:
    return [[number for number, _ in sighted] for sighted in rows]


@pytest.mark.parametrize("name", BASELINES)
def test_an_easy_walker_keeps_one_number(name: str) -> None:
    frames = walker(range(12))
    rows = BASELINES[name](frames)
    assert len(rows) == 12 and ids(rows)[4:] == [[1]] * 8
    for sighted, found in zip(rows[6:], frames[6:], strict=True):
        assert np.abs(sighted[0][1] - found.boxes[0]).max() < 1.0


def test_sort_begins_late_and_forgets_at_once() -> None:
    gap = walker(range(16), [0.9] * 6 + [0] * 2 + [0.9] * 8)
    found = ids(sort(gap))
    assert found[:6] == [[1]] * 6, "in its first three frames every track is written"
    assert found[6:8] == [[], []]
    assert found[8:11] == [[]] * 3 and found[11:] == [[2]] * 5, "after two blind frames it is somebody else"
    assert ids(sort([NOTHING] * 4 + walker(range(8))))[4:] == [[]] * 3 + [[1]] * 5


def test_byte_track_follows_through_weak_detections() -> None:
    weak = walker(range(12), [0.9] * 5 + [0.3] * 3 + [0.9] * 4)
    assert ids(byte_track(weak)) == [[1]] * 12
    assert ids(oc_sort(weak))[5:8] == [[]] * 3, "which another one does not look at"
    assert ids(byte_track(walker(range(6), [0.3] * 6))) == [[]] * 6, "but they begin no track"
    once = [NOTHING, *walker([1]), *[NOTHING] * 3]
    assert ids(byte_track(once)) == [[]] * 5, "nor does what is seen once"


def test_oc_sort_finds_again_where_it_lost() -> None:
    gap = walker([0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8], [0.9] * 6 + [0] * 4 + [0.9] * 4)
    assert ids(oc_sort(gap))[-1] == [1], "it stood still meanwhile, near where it was last seen"
    assert ids(sort(gap))[-1] == [2]


def test_oc_sort_prefers_who_goes_straight_on() -> None:
    track = _Track(motion=AreaKalman(np.array([0.0, 0, 10, 10])), id=1)
    for frame in range(3):
        track.seen[frame] = np.array([5.0 * frame, 0, 10 + 5 * frame, 10])
    on, back, aside = [15.0, 0, 25, 10], [-5.0, 0, 5, 10], [0.0, 15, 10, 25]
    turns = _turns([track], np.array([on, back, aside]), 3)[0]
    assert np.allclose(turns, [0.5, -0.5, 0.0], atol=1e-3)
    track.seen = {0: track.seen[0]}
    assert (_turns([track], np.array([on]), 3) == 0).all(), "a new track has no direction"


@pytest.mark.parametrize("kind", [AreaKalman, HeightKalman])
def test_filters_learn_a_speed(kind: type[AreaKalman] | type[HeightKalman]) -> None:
    box = np.array([10.0, 20, 30, 80])
    motion = kind(box)
    for _ in range(30):
        box = box + np.array([3.0, 1, 3, 1])
        motion.predict(seen=True) if isinstance(motion, HeightKalman) else motion.predict()
        motion.update(box)
    ahead = motion.predict(seen=True) if isinstance(motion, HeightKalman) else motion.predict()
    assert np.abs(ahead - box - [3, 1, 3, 1]).max() < 0.5
