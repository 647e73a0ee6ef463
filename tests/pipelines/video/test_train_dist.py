"""`train action --image`: a motion network beside a frozen image network, from a list of clips to a card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fakes.clips import squares
from vitapps.apps.main import main
from vitapps.datasets.formats.video_write import open_writer
from vitapps.pipelines.video import train_dist
from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.weights.cards import load_card
from vitapps.shared_backbones.weights.load import load_module


def test_a_motion_network_beside_an_image_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train action --image`: the card classifies in an engine, and keeps the image network's weights."""
    torch.manual_seed(0)
    image = ViT(ViTConfig(image_size=(32, 32), patch=(16, 16), dim=16, depth=2, heads=2, num_classes=3))
    monkeypatch.setattr(train_dist, "load_image_teacher", lambda spec: (image, (0.5,) * 3, (0.5,) * 3))
    rows = ["clip\tlabel\tsource_group"]
    for number in range(2):
        for label, speed in (("calm", 0.0), ("fast", 2.0)):
            frames, _ = squares(10, speed=(speed, speed / 2))
            path = tmp_path / label / f"c{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            with open_writer(path) as writer:
                for moment, pixels in enumerate(frames):
                    writer.add(pixels, moment / 25)
            rows.append(f"c{number}\t{label}\tg{number}")
    (tmp_path / "list.tsv").write_text("\n".join(rows))
    words = ["--image", "a ViT", "--steps", "2", "--batch", "2", "--folds", "2", "--json", "-o", str(tmp_path / "run")]
    assert main(["video", "train", "action", "--data", str(tmp_path / "list.tsv"), *words]) == 0
    assert json.loads(capsys.readouterr().out)["score"]["clips"] == 4
    made = tmp_path / "run" / "action-dist.toml"
    module: Any = load_module(load_card(made))
    assert torch.allclose(module.spatial.blocks[0].attn.qkv.weight, image.blocks[0].attn.qkv.weight, atol=1e-3)
    assert (
        main(["video", "action", str(tmp_path / "fast" / "c0.mp4"), "-w", str(made), "--json", "--threads", "1"]) == 0
    )
    assert {item["label"] for item in json.loads(capsys.readouterr().out)["clip"]} == {"calm", "fast"}
