"""Reduction inside a whole network: the dense answer keeps its shape, strength zero keeps its bits."""

from __future__ import annotations

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.bench_embedded import bench_embedded
from vitapps.pipelines.runtime.bench_reduce import Case, bench_reduce
from vitapps.pipelines.video.scene_metric import scene_judge
from vitapps.shared_backbones.models.liveness_vit import LivenessViT, LivenessViTConfig
from vitapps.shared_backbones.models.plain_detector import PlainDetector, PlainDetectorConfig, window_example
from vitapps.shared_backbones.models.reduced import reduced_model
from vitapps.shared_backbones.models.tracker import Tracker, TrackerConfig, frame_example
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


@pytest.mark.parametrize("spec", ["tome:r=4", "vomix:r=4"])
def test_a_tracker_keeps_its_template_and_answers_on_the_full_grid(spec: str) -> None:
    torch.manual_seed(0)
    config = TrackerConfig(search=96, template=64, dim=24, depth=3, heads=2)
    model = Tracker(config).eval()
    x = torch.rand_like(frame_example(config))
    reduced = reduced_model(model, spec)
    seen: list[int] = []
    reduced.blocks[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    with torch.inference_mode():
        wanted, still, fewer = model(x), reduced_model(model, "tome:r=0")(x), reduced(x)
    assert all(torch.equal(one, other) for one, other in zip(still, wanted, strict=True))
    assert all(one.shape == other.shape for one, other in zip(fewer, wanted, strict=True))
    assert config.small**2 < seen[0] < config.grid**2 + config.small**2
    assert 0 < (fewer[0] - wanted[0]).abs().max() < 0.2


def test_a_tracker_whose_tokens_are_put_in_order_answers_alike_where_none_goes() -> None:
    torch.manual_seed(0)
    config = TrackerConfig(search=96, template=64, dim=24, depth=2, heads=2, reducer="tome")
    model = Tracker(config).eval()
    tokens = torch.randn(2, config.grid**2 + config.small**2, config.dim)
    assert model.reducer is not None
    with torch.inference_mode():
        plain = tokens
        for block in model.blocks:
            plain, _ = block(plain, None, None, None)
        torch.testing.assert_close(model._reduced(tokens, model.reducer), plain, rtol=1e-5, atol=1e-5)


def test_adapters_that_need_the_grid_are_refused() -> None:
    with pytest.raises(UsageError, match="whole grid"):
        reduced_model(LivenessViT(LivenessViTConfig()), "tome:r=2")


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
