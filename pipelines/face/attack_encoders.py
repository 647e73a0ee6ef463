"""The encoders of the embedded models as `feature_attack.py` attacks them: their features, and the verdict behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitapps.datasets.formats.picture import read_picture
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.face.attack import ModelName, deepfake_target, liveness_target
from vitapps.pipelines.face.blend_cues import blend_cues
from vitapps.pipelines.face.deepfake_model import DEFAULT_WEIGHTS as DEEPFAKE
from vitapps.pipelines.face.feature_attack import Encoder, FeatureMargin, Pixels, feature_margin
from vitapps.pipelines.face.liveness_data import as_input, face_of
from vitapps.pipelines.face.liveness_model import DEFAULT_WEIGHTS as LIVENESS
from vitapps.pipelines.face.scores import Floats
from vitapps.pipelines.face.texture import texture
from vitapps.pipelines.face.verify import Recogniser
from vitapps.progress import Progress, null_progress
from vitapps.require import require

if TYPE_CHECKING:
    from vitapps.shared_backbones.weights.cards import Card

EMBEDDED: tuple[tuple[ModelName, str], ...] = (
    ("liveness", LIVENESS), ("liveness", "face-liveness-net"), ("deepfake", DEEPFAKE), ("embed", "face-embed"),
)  # fmt: skip


def attack_features(
    path: Path, name: ModelName | None, *, weights: str | None, crop: bool, queries: int, options: RunOptions,
    progress: Progress = null_progress,
) -> list[FeatureMargin]:  # fmt: skip
    """The feature attack on the encoder of one model, or on every embedded one (`name` None), for the first face of a
    picture. The verdict of "embed" is whether the changed face still matches its own picture."""
    if name is None and weights is not None:
        raise UsageError(f"-w {weights} without --model", hint="say whose weights they are")
    wanted: list[tuple[ModelName, str | None]] = [*EMBEDDED] if name is None else [(name, weights)]
    makers = {"liveness": _liveness_encoder, "deepfake": _deepfake_encoder, "embed": _embed_encoder}
    found = []
    with progress.task("encoders", total=len(wanted)) as task:
        for kind, card in wanted:
            encoder = makers[kind](path, card, crop, options)
            found.append(feature_margin(encoder, queries=queries, seed=options.seed))
            task.advance()
    return found


def _liveness_encoder(path: Path, weights: str | None, crop: bool, options: RunOptions) -> Encoder:
    """Histograms of texture, or what the head of the network sees, which has a gradient."""
    from vitapps.shared_backbones.weights.cards import load_card

    score, face, threshold = liveness_target(path, weights, crop, options)
    card = load_card(weights or LIVENESS, "face.liveness")
    if card.arch != "liveness_vit":
        return Encoder(name=card.name, face=face, encode=texture, score=score, threshold=threshold)
    pooled = _module(card).pooled

    def encode(pixels: Pixels) -> Floats:
        return _run(pooled, as_input([pixels]))

    small = face_of(face, int(card.preprocess["size"]))
    return Encoder(name=card.name, face=small, encode=encode, score=score, threshold=threshold, differentiable=pooled)


def _deepfake_encoder(path: Path, weights: str | None, crop: bool, options: RunOptions) -> Encoder:
    """The unit vector before the last layer; cues have no gradient, a tower on the face itself has one."""
    from vitapps.shared_backbones.weights.cards import load_card

    score, face, threshold = deepfake_target(path, weights, crop, options)
    card = load_card(weights or DEEPFAKE, "face.deepfake")
    module = _module(card)

    def unit(x: Any) -> Any:
        return module.head.embed(module.features(x))

    on_cues = card.preprocess["input"] == "cues"

    def encode(pixels: Pixels) -> Floats:
        return _run(unit, blend_cues(pixels)[None] if on_cues else as_input([pixels]))

    return Encoder(
        name=card.name, face=face, encode=encode, score=score, threshold=threshold,
        differentiable=None if on_cues else unit,
    )  # fmt: skip


def _embed_encoder(path: Path, weights: str | None, crop: bool, options: RunOptions) -> Encoder:
    """The template; the score is its similarity to that of the untouched face."""
    recogniser = Recogniser.load(weights, options)
    embedder = recogniser.embedder
    point = embedder.point(0.01)
    if point is None:
        raise UsageError(f"no threshold was measured for {embedder.facts.name}", hint="use an own card")
    pixels = read_picture(path).pixels
    face = recogniser.crop(pixels, recogniser.template(path).face)
    own = embedder.embed([face])[0]

    def encode(changed: Pixels) -> Floats:
        return np.asarray(embedder.embed([changed])[0], np.float64)

    def score(changed: Pixels) -> float:
        return float(embedder.embed([changed])[0] @ own)

    return Encoder(name=embedder.facts.name, face=face, encode=encode, score=score, threshold=point.threshold)


def _module(card: Card) -> Any:
    """The network of a card by torch, without gradients of its weights."""
    require("torch", extra="train")
    from vitapps.shared_backbones.weights.load import load_module

    return load_module(card).requires_grad_(False)


def _run(encode: Callable[[Any], Any], inputs: Any) -> Floats:
    """Features D of one input 1 C H W."""
    import torch

    with torch.inference_mode():
        return np.asarray(encode(torch.from_numpy(np.ascontiguousarray(inputs)))[0].numpy(), np.float64)
