"""Reduction inside a whole network: the dense answer keeps its shape, strength zero keeps its bits."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.bench_embedded import bench_embedded
from vitapps.pipelines.runtime.bench_reduce import Case, bench_reduce
from vitapps.pipelines.video.scene_metric import scene_judge
from vitapps.shared_backbones.models.plain_detector import PlainDetector, PlainDetectorConfig, window_example
from vitapps.shared_backbones.models.reduced import reduced_model
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

OPTIONS = RunOptions(device="cpu", engine="torch", threads=1)  # no graph has to be made


def test_a_detector_answers_on_the_full_grid() -> None:
    torch.manual_seed(0)
    config = PlainDetectorConfig(window=(64, 64), dim=24, depth=3, heads=2)
    model = PlainDetector(config).eval()
    x = torch.rand_like(window_example(config))
    with torch.inference_mode():
        wanted = model(x)
        still = reduced_model(model, "tome:r=0")(x)
        fewer = reduced_model(model, "tome:r=4")(x)
    assert reduced_model(model, "none") is model and reduced_model(model, None) is model
    assert all(torch.equal(one, other) for one, other in zip(still, wanted, strict=True))
    assert all(one.shape == other.shape for one, other in zip(fewer, wanted, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(fewer, wanted, strict=True))


def test_a_vit_keeps_its_weights_and_positions() -> None:
    vit = ViT(ViTConfig(image_size=(16, 16), patch=(4, 4), dim=16, depth=2, heads=2, pos="rope", num_classes=3)).eval()
    reduced = reduced_model(vit, "tome:r=3")
    assert all(torch.equal(reduced.state_dict()[key], value) for key, value in vit.state_dict().items())
    assert reduced(torch.randn(2, 3, 16, 16)).shape == (2, 3)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="no ViT"):
        reduced_model(torch.nn.Linear(2, 2), "tome:r=3")
    with pytest.raises(UsageError, match="engines"):
        bench_reduce((Case(model="tiny", size=64, specs=("tome:r=1",)),), engines=("tensorrt",))
    with pytest.raises(UsageError, match="huge"):
        bench_reduce((Case(model="huge", size=64, specs=()),))


def test_the_bench_measures_both_models_in_one_run() -> None:
    (row,) = bench_reduce((Case(model="tiny", size=64, specs=("tome:r=1",)),), engines=("torch",), rounds=2)
    assert row.tokens == 17 - 12  # one patch a block
    assert row.rounds == 2 and row.lowest <= row.ratio <= row.highest
    assert row.dense_ms > 0 and row.reduced_ms > 0


def test_an_embedded_models_own_metric_stands_beside_the_gain() -> None:
    judge = scene_judge("face-finder", scenes=1)
    (row,) = bench_embedded(judge, ("tome:keep=0.5",), rounds=2, options=OPTIONS)
    assert row.model == "face-finder" and row.engine == "torch fp32"
    assert row.dense > 0.8 and 0 <= row.reduced <= row.dense + 0.1
    assert 0 < row.lowest <= row.ratio <= row.highest
