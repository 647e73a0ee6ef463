"""An object that comes back somewhere else is found again, and until then nothing else is taken for it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vitapps.pipelines.video.remembered import Remembered
from vitapps.pipelines.video.single import Sighting, SingleTracker
from vitapps.pipelines.video.track_filter import FilterTracker
from vitapps.pipelines.video.window import Look
from vitapps.pipelines.windows.boxes import box_iou

WIDTH, HEIGHT, SIDE = 240, 120, 32
Pixels = NDArray[np.uint8]


def texture(seed: int, width: int, height: int, cell: int) -> Pixels:
    cells = np.random.default_rng(seed).integers(20, 230, (max(2, height // cell), max(2, width // cell), 3))
    return np.asarray(cv2.resize(cells.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


GROUND, THING, BAR = texture(0, WIDTH, HEIGHT, 20), texture(1, SIDE, SIDE, 6), texture(2, 50, HEIGHT, 25)


def scene(x: float, *, bar: bool = False) -> tuple[Pixels, NDArray[np.float64]]:
    """A frame with the thing's middle at `x`, partly or wholly outside where it lies there, and its box."""
    wide = cv2.copyMakeBorder(GROUND, 0, 0, 100, 100, cv2.BORDER_REPLICATE)
    left, top = round(x) - SIDE // 2 + 100, HEIGHT // 2 - SIDE // 2
    if 0 <= left <= wide.shape[1] - SIDE:
        wide[top : top + SIDE, left : left + SIDE] = THING
    frame = np.ascontiguousarray(wide[:, 100:-100])
    if bar:
        frame[:, 90:140] = BAR
    return frame, np.array([left - 100, top, left - 100 + SIDE, top + SIDE], np.float64)


def followed(path: list[float], *, bar: bool = False) -> list[tuple[Sighting, float]]:
    """What the tracker says of each frame after the first, and the IoU of its box."""
    frame, box = scene(path[0], bar=bar)
    tracker = SingleTracker(frame, box)
    found = []
    for x in path[1:]:
        frame, box = scene(x, bar=bar)
        seen = tracker.update(frame)
        found.append((seen, float(box_iou(seen.box[None], box[None])[0, 0])))
    return found


def behind(number: int) -> float:
    """Below the bar and out on its other side."""
    return 30 + 4 * min(number, 44)


def away(number: int) -> float:
    """Out to the right and in again from the left."""
    return 150 + 5 * number if number < 38 else -60 + 5 * (number - 38)


@pytest.mark.parametrize(("way", "bar", "hidden"), [(behind, True, (20, 23)), (away, False, (24, 46))])
def test_it_comes_back_elsewhere(way: Callable[[int], float], bar: bool, hidden: tuple[int, int]) -> None:
    found = followed([way(number) for number in range(62)], bar=bar)
    assert all(seen.state == "tracked" for seen, _ in found[:12])
    gone = [seen.state for seen, _ in found[hidden[0] : hidden[1]]]
    assert "tracked" not in gone
    assert "lost" in [seen.state for seen, _ in found]
    for seen, overlap in found[-4:]:
        assert seen.state == "tracked" and overlap > 0.6


def test_nothing_is_taken_for_what_has_gone() -> None:
    found = followed([150 + 6.0 * number for number in range(50)])
    assert {seen.state for seen, _ in found[-20:]} == {"lost"}
    assert {seen.score for seen, _ in found[-20:]} == {0.0}


def test_the_place_that_looks_alike_comes_first() -> None:
    frame, box = scene(60)
    memory = Remembered(Look(frame), FilterTracker(frame, box))
    for x in (60.0, 170.0):
        later, box = scene(x)
        places = memory.places(Look(later), 3)
        assert len(places) == 3
        assert np.abs(places[0] - (box[:2] + box[2:]) / 2).max() < 3
    outside = FilterTracker(frame, box)
    outside.move(np.array([0.0, 60.0]), np.array([6.0, 30.0]), frame.shape)
    assert Remembered(Look(frame), outside).places(Look(frame), 2) == []


def test_a_look_from_before_the_trouble_is_kept() -> None:
    frame, box = scene(60)
    tracker = FilterTracker(frame, box)
    memory = Remembered(Look(frame), tracker)
    good = tracker.copy()
    other, _ = scene(200)
    for _ in range(3):
        tracker.learn(other)
    answers = [one.locate(frame, tracker.middle, sizes=1)[2] for one in (tracker, good, memory.filter(tracker.middle))]
    assert answers[1] == answers[2] > answers[0], "a copy learns nothing from what comes after it"
    assert (memory.filter(np.array([1.0, 2.0])).middle == [1, 2]).all()


def test_a_fast_object_has_a_score_that_fits() -> None:
    """It moves by nearly half of its side a frame, which the flow of points does not see by itself."""
    found = followed([30 + 14 * (number if number < 12 else 24 - number) for number in range(24)])
    for seen, overlap in found:
        assert seen.state == "tracked" and overlap > 0.6 and seen.score > 0.55
