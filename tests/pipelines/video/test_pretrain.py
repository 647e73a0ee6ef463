"""`video pretrain`: every objective on windows of clips, and a card that `video embed` takes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from fakes.clips import squares
from vitapps.apps.main import main
from vitapps.datasets.formats.video_write import open_writer
from vitapps.pipelines.video.clip_input import ClipInput
from vitapps.pipelines.video.clip_sampling import ClipRule
from vitapps.pipelines.video.pretrain import Method, PretrainFit, batches, objective, read_clips
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.weights import image_teacher


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    pictures, _ = squares(frames=12)
    with open_writer(folder / "square.mp4") as writer:
        for number, picture in enumerate(pictures):
            writer.add(picture, number / 25)
    (folder / "torn.mp4").write_bytes(b"nothing")
    return folder


def image_network() -> ViT:
    return ViT(ViTConfig(image_size=(64, 64), patch=(16, 16), dim=16, depth=2, heads=2))


@pytest.mark.parametrize("method", get_args(Method))
def test_every_objective_learns_from_windows(method: Method, data: Path) -> None:
    seen = ClipInput(kind="rgb", rule=ClipRule(frames=4, stride=2), size=64)
    clips = read_clips([data / "square.mp4", data / "torn.mp4"], seen)
    assert len(clips) == 1  # the torn one is warned of
    config = PretrainFit(method=method, steps=3, batch=2)
    (window, number), *rest = batches(clips, seen, config, 0)
    assert window.shape == (2, 3, 4, 64, 64) and len(rest) == 2
    assert torch.equal(next(batches(clips, seen, config, 2))[0], rest[1][0])  # a step has its own batch, whoever asks
    encoder = ViT(ViTConfig(
        image_size=(4, 64, 64), patch=(1 if method == "umt" else 2, 16, 16), dim=24, depth=2, heads=1,
        class_token=False, pos="sincos", pool="mean",
    ))  # fmt: skip
    module = objective(method, encoder, image_network() if method == "umt" else None)
    loss = module.train()(window, torch.Generator().manual_seed(int(number)))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(block.attn.qkv.weight.grad.abs().sum() > 0 for block in encoder.blocks)


def test_a_pretrained_card_embeds(data: Path, tmp_path: Path) -> None:
    words = ["--steps", "2", "--batch", "2", "--frames", "4", "--size", "64", "--dim", "24", "--depth", "1", "-q"]
    assert main(["video", "pretrain", "--data", str(data), "-o", str(tmp_path), *words]) == 0
    card, out = tmp_path / "clip-videomae2.toml", tmp_path / "e.npz"
    words = ["-w", str(card), "-o", str(out), "--threads", "1", "-q"]
    assert main(["video", "embed", str(data / "square.mp4"), *words]) == 0
    found = np.load(out)["embedding"]
    assert found.shape[1] == 24 and np.isfinite(found).all() and found.std() > 0


def test_what_does_not_fit_is_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    wide = ViT(ViTConfig(image_size=(32, 64), patch=(16, 16), dim=16, depth=1, heads=2))
    monkeypatch.setattr(image_teacher, "load_image_teacher", lambda spec: (wide, (0.5,) * 3, (0.5,) * 3))
    cases = [
        (["--data", str(data), "--method", "umt"], 2, "--teacher"),
        (["--data", str(data), "--teacher", "timm:x"], 2, "only umt"),
        (["--data", str(data), "--size", "60"], 2, "whole tubelets"),
        (["--data", str(tmp_path / "empty")], 3, "no clip"),
        (["--data", str(data), "--method", "umt", "--teacher", "wide"], 2, "square pictures"),
    ]
    for words, code, text in cases:
        size = [] if "--size" in words else ["--size", "64"]
        command = ["video", "pretrain", *words, "-o", str(tmp_path / "o"), "--steps", "1", "--frames", "4", *size]
        assert main(command) == code, words
        said = capsys.readouterr().err
        assert text in said and "Traceback" not in said


def test_an_image_network_comes_from_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    from vitapps.errors import UsageError

    with pytest.raises(UsageError, match="no vision transformer of pictures"):
        image_teacher.load_image_teacher("face-finder")
