"""A small card with every file that publishing writes, made from a seeded network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.weights.cards import Card, load_card
from vitapps.shared_backbones.weights.publish import publish

CONFIG = ViTConfig(dim=64, depth=2, heads=2, image_size=(32, 32), patch=(8, 8), num_classes=10, pos="sincos")


def publish_vit(folder: Path, name: str = "tiny-vit", **fields: Any) -> Card:
    """A ViT whose card has a float32 graph, an int8 graph and a check."""
    torch.manual_seed(0)
    table = {
        "name": name, "task": "classify", "arch": "vit", "config": asdict(CONFIG), "summary": "random weights",
        "licence": "CC0-1.0", **fields,
    }  # fmt: skip
    table["config"] = {key: value for key, value in table["config"].items() if value is not None}
    images = np.random.default_rng(1).random((8, 3, *CONFIG.image_size), np.float32)
    path = publish(
        ViT(CONFIG), table, folder, example=torch.zeros(1, 3, *CONFIG.image_size), output_names=["logits"],
        calibration=images,
    )  # fmt: skip
    return load_card(str(path))
