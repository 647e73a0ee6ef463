"""A frozen image ViT that a clip network learns from: published weights, or a card."""

from __future__ import annotations

from typing import Any

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.weights.cards import load_card
from vitapps.shared_backbones.weights.load import load_module

_IMAGENET: tuple[tuple[float, ...], tuple[float, ...]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def load_image_teacher(spec: str) -> tuple[ViT, tuple[float, ...], tuple[float, ...]]:
    """`timm:NAME`, `hf:OWNER/REPO`, or the name or path of a card: (network, mean and std of RGB in 0..1).

    Raises MissingError for what is not there, UsageError for what is no ViT of pictures."""
    module: Any
    if spec.startswith(("timm:", "hf:")):
        from vitapps.shared_backbones.weights.published import load_published

        module, _, preprocess = load_published(spec)
    else:
        card = load_card(spec)
        module, preprocess = load_module(card), card.preprocess
    vit = module if isinstance(module, ViT) else getattr(module, "vit", None)
    if not isinstance(vit, ViT) or len(vit.config.patch) != 2 or vit.config.in_chans != 3:
        raise UsageError(f"{spec}: no vision transformer of pictures", hint="timm:NAME, hf:OWNER/REPO or a card of one")
    mean, std = (
        tuple(map(float, preprocess.get(key, usual))) for key, usual in zip(("mean", "std"), _IMAGENET, strict=True)
    )
    return vit, mean, std
