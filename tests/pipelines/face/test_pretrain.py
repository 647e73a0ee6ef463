"""Pre-training from a folder to an encoder that loads again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.photographs import photograph, write_png
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.face.pretrain import PretrainFit, pretrain
from vitapps.shared_backbones import models
from vitapps.shared_backbones.models.vit import ViTConfig
from vitapps.shared_backbones.weights.load import load_weights


def test_pretraining_writes_an_encoder(tmp_path: Path) -> None:
    for number in range(3):
        write_png(tmp_path / f"{number}.png", photograph(number, 64, 64))
    encoder = ViTConfig(
        image_size=(56, 56), patch=(4, 4), dim=16, depth=1, heads=2, class_token=False, pool="none", num_classes=0
    )
    path = pretrain(tmp_path, tmp_path / "run", PretrainFit(steps=2, batch=2, encoder=encoder))
    config = json.loads(path.with_suffix(".json").read_text())
    report = load_weights(models.build("vit", config), path)
    assert not report.missing and not report.unexpected
    with pytest.raises(UnreadableInputError):
        pretrain(tmp_path / "nowhere", tmp_path / "other")
