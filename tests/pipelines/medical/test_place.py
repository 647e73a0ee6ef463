"""Where the brain lies, and that a model with place channels is told so in both passes and in the mirror."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.volume_network import card
from vitapps.datasets.synth import brain
from vitapps.pipelines.medical import place
from vitapps.pipelines.medical.orientation import turn_to
from vitapps.pipelines.medical.place import MARGIN, find_region, mirrored, with_place
from vitapps.pipelines.medical.volume_model import Prepared, VolumeModel

SPACING, WINDOW = (2.0, 2.0, 2.0), (24, 28, 20)


def test_the_largest_component_gives_centre_and_box() -> None:
    share = np.zeros((60, 60, 60), np.float32)
    share[10:21, 30:41, 30:41] = 0.9
    share[50:53, 5:8, 5:8] = 1.0  # smaller: not the brain
    region = find_region(share, SPACING, (20, 20, 20))
    assert region is not None
    assert region.centre == (15.0, 35.0, 35.0)
    grown = round(MARGIN / 2)
    assert region.box[0] == slice(10 - grown, 21 + grown)
    image = share[region.box]
    x = with_place(image, region, SPACING)
    assert np.array_equal(x[0], image)
    place = x[1:]
    assert not with_place(image, None, SPACING)[1:].any()
    at = tuple(int(c) - part.start for c, part in zip(region.centre, region.box, strict=True))
    assert np.allclose(place[(slice(None), *at)], 0)
    assert np.isclose(place[0, -1, 0, 0], (region.box[0].stop - 1 - 15.0) * 2 / 100)


def test_nothing_found_is_no_region() -> None:
    assert find_region(np.zeros((30, 30, 30), np.float32), SPACING, WINDOW) is None


def test_a_box_has_the_window_s_size_and_stays_inside() -> None:
    share = np.zeros((30, 40, 30), np.float32)
    share[28:30, 1, 29] = 1
    region = find_region(share, SPACING, WINDOW)
    assert region is not None
    for part, wide, size in zip(region.box, WINDOW, share.shape, strict=True):
        assert part.stop - part.start >= wide
        assert 0 <= part.start < part.stop <= size


def test_the_mirror_changes_the_sign_of_one_place() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6, 7)).astype(np.float32)
    back = mirrored(x, 0)
    assert np.array_equal(back[:, 0], x[:, 0, ::-1])
    assert np.array_equal(back[:, 1], -x[:, 1, ::-1])
    assert np.array_equal(back[:, 2:], x[:, 2:, ::-1])
    assert np.array_equal(mirrored(back, 0), x)


class PlacedNetwork:
    """Bright voxels are left or right by the sign of their place; without a place all of them are brain-stem."""

    engine, precision, device, threads = "fake", "exact", "cpu", 1

    def __call__(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        (x,) = inputs  # B 4 D H W
        bright = x[:, 0] > 0.5
        known = np.abs(x[:, 1:]).sum() > 0
        side = np.where(x[:, 1] < 0, 1, 2) if known else np.full(bright.shape, 3)
        classes = np.where(bright, side, 0)
        return ((classes[:, None] == np.arange(4)[None, :, None, None, None]).astype(np.float32) * 20,)


class LendingNetwork(PlacedNetwork):
    """Answers in one array of its own, which the next call overwrites, until it is released."""

    def __init__(self) -> None:
        self.released, self._own = 0, np.empty(0, np.float32)

    def lend(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        (found,) = self(*inputs)
        if self._own.shape != found.shape:
            self._own = np.empty_like(found)
        self._own[...] = found
        return (self._own,)

    def release(self) -> None:
        self.released += 1
        self._own = np.empty(0, np.float32)


@pytest.mark.parametrize("network", [PlacedNetwork(), LendingNetwork()])
def test_the_second_pass_knows_the_place(network: Any) -> None:
    image = np.zeros((64, 64, 64), np.float32)
    image[20:41, 10:50, 10:50] = 1.0
    even = np.eye(64, dtype=np.float32)
    turn = turn_to(np.diag([2.0, 2, 2, 1]), "RAS")
    prepared = Prepared(image, turn, (even, even, even), image, 0.0, 1.0)
    model = VolumeModel(card(place=True), network, once=True)
    for tta in (False, True):
        labels = model.scores(prepared, tta=tta).argmax(0)
        assert set(np.unique(labels[20:30, 10:50, 10:50])) == {1}
        assert set(np.unique(labels[31:41, 10:50, 10:50])) == {2}
        assert not labels[image == 0].any()
    assert getattr(network, "released", 2) == 2
    empty = np.zeros_like(image)
    assert not model.scores(Prepared(empty, turn, (even, even, even), empty, 0.0, 1.0)).argmax(0).any()


def test_training_and_inference_measure_the_place_alike() -> None:
    assert place.PLACE_UNIT == brain.PLACE_UNIT
