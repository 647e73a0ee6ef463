"""`vitapps face attack-test --features`: what our encoders see is moved, nothing behind them is asked (S003).

Where a network begins at the pixels and torch is there, `robust/encoder_attack.py` follows its gradient. Histograms and
cells of cues have none: for them squares of the picture move as in `margin.py`, kept when the features go farther from
their own, |E(x + d) - E(x)|^2 / |E(x)|^2. The verdict is read once afterwards; like every attack that was found, it
bounds the margin from above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.margin import STEPS, Score, search_squares

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
_GRADIENT_STEPS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """An encoder and the verdict that rests on it: `encode` a face H W 3 -> D, `score` with its `threshold`;
    `differentiable` the same encoder B 3 H W in 0..1 -> B D by torch, where there is one."""

    name: str
    face: Pixels
    encode: Callable[[Pixels], Floats]
    score: Score
    threshold: float
    differentiable: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureMargin:
    """`shift` |E(x + d) - E(x)| / |E(x)| and `scores` of the verdict by epsilon in grey levels; `smallest` epsilon
    whose score lies on the other side of `threshold` than `start`, None where none does."""

    model: str
    way: Literal["gradient", "search"]
    start: float
    threshold: float
    shift: dict[int, float]
    scores: dict[int, float]
    smallest: int | None


def feature_margin(encoder: Encoder, *, queries: int = 100, seed: int = 0) -> FeatureMargin:
    """The attack at every epsilon of `margin.STEPS`; `queries` of the encoder each where it has no gradient."""
    start = encoder.score(encoder.face)
    own = encoder.encode(encoder.face)
    shift: dict[int, float] = {}
    scores: dict[int, float] = {}
    for epsilon in STEPS:
        changed = (
            _by_search(encoder, own, epsilon, queries, seed)
            if encoder.differentiable is None
            else _by_gradient(encoder.face, encoder.differentiable, epsilon, seed)
        )
        shift[epsilon] = round(_distance(encoder.encode(changed), own) ** 0.5, 4)
        scores[epsilon] = round(encoder.score(changed), 4)
    turned = [
        epsilon for epsilon, score in scores.items() if (score >= encoder.threshold) != (start >= encoder.threshold)
    ]
    return FeatureMargin(
        model=encoder.name, way="search" if encoder.differentiable is None else "gradient", start=start,
        threshold=encoder.threshold, shift=shift, scores=scores, smallest=turned[0] if turned else None,
    )  # fmt: skip


def _by_search(encoder: Encoder, own: Floats, epsilon: int, queries: int, seed: int) -> Pixels:
    """The face whose features went farthest."""
    best = (-1.0, encoder.face)

    def distance(pixels: Pixels) -> float:
        nonlocal best
        value = _distance(encoder.encode(pixels), own)
        best = max(best, (value, pixels), key=lambda pair: pair[0])
        return value

    search_squares(distance, encoder.face, epsilon, np.inf, True, queries, np.random.default_rng(seed))
    return best[1]


def _by_gradient(face: Pixels, encode: Callable[[Tensor], Tensor], epsilon: int, seed: int) -> Pixels:
    import torch

    from vitapps.shared_backbones.robust.encoder_attack import encoder_attack

    images = torch.from_numpy(np.ascontiguousarray(face.transpose(2, 0, 1)))[None].float() / 255  # H W 3 -> 1 3 H W
    changed = encoder_attack(encode, images, eps=epsilon / 255, steps=_GRADIENT_STEPS, seed=seed)
    return (changed[0] * 255).round().byte().numpy().transpose(1, 2, 0)


def _distance(features: Floats, own: Floats) -> float:
    return float(np.square(features - own).sum() / max(float(np.square(own).sum()), 1e-12))
