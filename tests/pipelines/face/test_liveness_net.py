"""The liveness network learns source after source: the first whole, the next by adapters; cut runs end the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes.photographs import photograph, write_png
from vitapps.datasets.sets.presentation_attacks import read_presentations
from vitapps.datasets.synth.spoofs import simulate
from vitapps.errors import UnreadableInputError, UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.liveness_eval import evaluate
from vitapps.pipelines.face.liveness_model import LivenessModel
from vitapps.pipelines.face.pretrain import PretrainFit, pretrain
from vitapps.pipelines.face.train_liveness_net import LivenessFit, learn, train
from vitapps.shared_backbones.models.liveness_vit import LivenessViTConfig
from vitapps.shared_backbones.models.vit import ViTConfig

SMALL = LivenessFit(steps=3, batch=4, model=LivenessViTConfig(size=32, patch=8, dim=16, depth=1, heads=2, adapter=4))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for source in ("first", "second"):
        for kind in ("real", "print"):
            (root / source / kind).mkdir(parents=True)
            for number in range(6):
                face = photograph(number + 10 * (source == "second"), 48, 48)
                shown = face if kind == "real" else simulate(face, "print", number)
                write_png(root / source / kind / f"{number}.png", shown)
    return root


def test_the_second_source_trains_adapters_alone_and_resume_ends_the_same(sources: Path, tmp_path: Path) -> None:
    items = read_presentations(sources)
    whole = learn(items, tmp_path, SMALL)
    first = torch.load(tmp_path / "stage-0.pt", weights_only=True)["average"]
    state = whole.state_dict()
    moved = {key for key in state if not torch.equal(state[key], first[key])}
    assert any(".adapter." in key for key in moved) and "head.weight" in moved
    assert not any(".block." in key or key.startswith("vit.patch_embed") for key in moved)
    (tmp_path / "stage-1.pt").unlink()  # cut between two sources
    again = learn(items, tmp_path, SMALL, resume=True).state_dict()
    assert all(torch.equal(state[key], again[key]) for key in state)


def test_a_card_that_liveness_takes(sources: Path, tmp_path: Path) -> None:
    card = train(sources, tmp_path, SMALL)
    model = LivenessModel.load(str(card), RunOptions(threads=1))
    crops = [photograph(3, 40, 60), photograph(4, 20, 20)]
    assert model.logits(crops).shape == (2,) and np.isfinite(model.logits(crops)).all()
    assert 0 <= model.point.spoof_below <= model.point.live_from
    rows = evaluate(sources, weights=str(card), options=RunOptions(threads=1)).rows
    assert {row.source for row in rows} == {"first", "second"} and rows[0].method == "face-liveness-net"


def test_an_encoder_is_taken_and_stays(sources: Path, tmp_path: Path) -> None:
    shape = ViTConfig(image_size=(32, 32), patch=(8, 8), dim=16, depth=1, heads=2, class_token=False, pool="none")
    encoder = pretrain(sources, tmp_path / "encoder", PretrainFit(steps=1, batch=2, encoder=shape))
    config = replace(SMALL, encoder=encoder, model=LivenessViTConfig(adapter=4))
    module = learn(read_presentations(sources), tmp_path, config)
    assert module.config.size == 32 and module.config.dim == 16
    from safetensors.torch import load_file

    kept = load_file(encoder)["blocks.0.mlp.fc1.weight"]
    assert torch.equal(module.state_dict()["vit.blocks.0.block.mlp.fc1.weight"], kept)
    encoder.with_suffix(".json").write_text("{}")
    with pytest.raises(UnreadableInputError):
        learn(read_presentations(sources), tmp_path, config)


def test_steps_need_sources_left_out(sources: Path) -> None:
    with pytest.raises(UsageError):
        evaluate(sources, network_steps=2)
