"""The head that is left to us gives the shares that the whole network gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vitapps.shared_backbones.heads.voxel import SoftmaxHead, VoxelHead
from vitapps.shared_backbones.models.volume_segmenter import VolumeSegmenter, VolumeSegmenterConfig

CONFIG = VolumeSegmenterConfig(
    num_classes=3, window=(16, 32, 16), stem=(8, 16), dim=24, depth=1, heads=2, decoder=(8, 16)
)


def test_rows_of_shares_are_those_of_the_whole_network() -> None:
    torch.manual_seed(0)
    whole = VolumeSegmenter(CONFIG).eval()
    apart = VolumeSegmenter(replace(CONFIG, head_apart=True)).eval()
    apart.load_state_dict(whole.state_dict())
    x = torch.rand(2, 4, *CONFIG.window)
    with torch.inference_mode():
        logits, found = whole(x).numpy(), apart(x).numpy()
        assert torch.equal(apart.logits(x), whole(x))
    assert found.shape == (2, 8, 8, 16, 8)
    wanted = SoftmaxHead().shares(logits.copy(), slice(0, 16))
    np.testing.assert_allclose(wanted.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(wanted.argmax(1), logits.argmax(1))
    weight, bias = (value.detach().numpy() for value in (whole.head.weight, whole.head.bias))
    head = VoxelHead(weight.reshape(len(weight), -1), bias)
    for start in range(8):
        rows = head.shares(found, slice(start, start + 1))
        np.testing.assert_allclose(rows, wanted[:, :, 2 * start : 2 * start + 2], atol=1e-6)
