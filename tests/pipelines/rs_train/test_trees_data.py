import numpy as np
import pytest
import torch

from vitapps.datasets.sets.neon_trees import read_tiles
from vitapps.pipelines.rs.trees_data import TreeWindows, WindowConfig, cut_boxes, recolour, turn


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_boxes_turn_with_the_image(turns, mirrored):
    image = torch.zeros(3, 32, 32)
    image[:, 4:10, 8:24] = 1
    turned, boxes = turn(image, np.array([[8, 4, 24, 10]], np.float32), turns, mirrored)
    x0, y0, x1, y1 = boxes[0].astype(int)
    assert turned[:, y0:y1, x0:x1].min() == 1
    assert turned.sum() == (x1 - x0) * (y1 - y0) * 3


def test_cut_boxes_keeps_what_is_seen():
    config = WindowConfig(visible=0.5, smallest=4)
    boxes = np.array([[-5, 0, 15, 10], [-15, 0, 5, 10], [0, 0, 3, 3], [60, 60, 80, 64]], np.float32)
    np.testing.assert_array_equal(cut_boxes(boxes, 70, 64, config), [[0, 0, 15, 10], [60, 60, 70, 64]])


def test_a_window_depends_on_its_seed_alone(tile_folder):
    tiles = read_tiles(tile_folder)
    config = WindowConfig(size=64)
    first, second = TreeWindows(tiles, config), TreeWindows(tiles, config)
    first.sample(99)
    for a, b in zip(first.sample(5), second.sample(5), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.sample(5)[0], first.sample(6)[0])


def test_windows_are_sound(tile_folder):
    windows = TreeWindows(read_tiles(tile_folder), WindowConfig(size=64))
    centres = 0.0
    for seed in range(24):
        image, heat, target = windows.sample(seed)
        assert image.shape == (3, 64, 64)
        assert (heat.shape, target.shape) == ((1, 16, 16), (4, 16, 16))
        assert image.min() >= 0 and image.max() <= 1
        assert target.min() >= 0 and target.max() <= 64
        centres += float((heat >= 0.999).sum())
    assert centres > 24


def test_recolour_moves_colours_but_not_black():
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    changed = recolour(image, np.random.default_rng(1), gentle=True)
    assert (changed - image).abs().mean() > 0.01
    assert recolour(torch.zeros(3, 16, 16), np.random.default_rng(1), gentle=True).abs().max() == 0
