"""The generator of training pairs: one seed one pair, boxes that fit, objects that can be seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vitapps.datasets.synth.tracking import PairConfig, Seen, TrackingPairs
from vitapps.datasets.synth.tracking_objects import cut_objects, outline, warp


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3):
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        found.append(np.asarray(cv2.resize(coarse, (256, 192), interpolation=cv2.INTER_CUBIC), np.uint8))
    return found


@pytest.fixture(scope="module")
def pairs(photos: list[np.ndarray]) -> TrackingPairs:
    jpeg = cv2.imencode(".jpg", photos[0][..., ::-1])[1].tobytes()
    track = [Seen(jpeg=jpeg, box=(60.0 + 2 * place, 50.0, 110.0 + 2 * place, 90.0)) for place in range(4)]
    return TrackingPairs(photos, [track], objects=20)


def test_one_seed_is_one_pair(pairs: TrackingPairs) -> None:
    for seed in range(6):
        one, other = pairs.sample(seed), pairs.sample(seed)
        assert (one.search == other.search).all() and (one.box == other.box).all()
    assert (pairs.sample(1).search != pairs.sample(2).search).any()


def test_pairs_are_what_the_network_takes(pairs: TrackingPairs) -> None:
    for seed in range(40):
        pair = pairs.sample(seed)
        assert pair.search.shape == (192, 192, 3) and pair.template.shape == (96, 96, 3)
        rows, columns = np.nonzero(pair.mask)
        inside = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert inside == len(rows), "the mask is a box"
        middle = (pair.box[:2] + pair.box[2:]) / 2
        assert (middle > 0).all() and (middle < 192).all()
        assert 12 < np.sqrt((pair.box[2:] - pair.box[:2]).prod()) < 140


def test_the_object_lies_in_its_box(photos: list[np.ndarray]) -> None:
    """Without light, occlusion and distractors the object's pixels differ from the ground inside the box only."""
    config = PairConfig(photo=0, video=0, hidden=0, occluded=0, distractors=0)
    shown = TrackingPairs(photos, objects=10, config=config)
    rng = np.random.default_rng(5)
    for _ in range(10):
        state = rng.bit_generator.state
        pair = shown._composite(rng)
        rng.bit_generator.state = state
        x0, y0, x1, y1 = np.clip(pair.box, 0, 192)
        hidden = TrackingPairs(
            photos, objects=10, config=PairConfig(photo=0, video=0, hidden=1.1, occluded=0, distractors=0)
        )
        empty = hidden._composite(rng)
        rows, columns = np.nonzero(np.abs(pair.search.astype(int) - empty.search).max(axis=2) > 50)
        assert len(rows) > 20
        assert rows.min() >= y0 - 2 and rows.max() <= y1 + 2 and columns.min() >= x0 - 2 and columns.max() <= x1 + 2


def test_cutouts_fill_their_frame(photos: list[np.ndarray]) -> None:
    for thing in cut_objects(photos, 12, np.random.default_rng(1)):
        points = outline(thing)
        assert (points.max(axis=0) - points.min(axis=0) > 0.4 * np.array(thing.alpha.shape[::-1])).all()


def test_warp_keeps_corner_coordinates() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[2:4, 4:6] = 255
    doubled = warp(picture, np.array([[2.0, 0, 0], [0, 2.0, 0]]), 16)
    rows, columns = np.nonzero(doubled[..., 0] > 127)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (4, 8, 8, 12)
