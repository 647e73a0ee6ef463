"""ViTs with random weights as published cards: speed does not depend on training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.shared_backbones.weights.cards import Card, load_card

MODELS = {"ViT-S/16": {"dim": 384, "heads": 6}, "ViT-B/16": {"dim": 768, "heads": 12}}


def random_name(model: str, size: int) -> str:
    """Name of the card of a ViT with random weights."""
    return f"random-{model.partition('/')[0].lower()}-{size}"


def random_card(folder: Path, name: str, size: int) -> Card:
    """A published card of a ViT with random weights and 1000 classes, int8 graph included."""
    import torch

    from vitapps.shared_backbones.models.vit import ViT, ViTConfig
    from vitapps.shared_backbones.weights.publish import publish

    torch.manual_seed(0)
    config = ViTConfig(**MODELS[name], image_size=(size, size), num_classes=1000)  # type: ignore[arg-type]
    fields: dict[str, Any] = {
        "name": random_name(name, size), "task": "classify", "arch": "vit",
        "config": {key: value for key, value in asdict(config).items() if value is not None},
        "summary": "random weights", "licence": "CC0-1.0", "tolerance": {"bf16": True, "int8": True},
    }  # fmt: skip
    images = np.random.default_rng(0).standard_normal((1, 3, size, size), np.float32)
    example = torch.zeros(1, 3, size, size)
    path = publish(ViT(config), fields, folder, example=example, output_names=["logits"], calibration=images)
    return load_card(str(path))
