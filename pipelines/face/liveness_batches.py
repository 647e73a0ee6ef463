"""Batches of one domain for the liveness network: half live, half attacks, some of these simulated from live faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vitapps.datasets.sets.presentation_attacks import Presentation
from vitapps.datasets.synth.spoofs import Species, simulate
from vitapps.pipelines.face.liveness_data import as_input, crop_of, face_of
from vitapps.pipelines.runtime.fit import Batch

_SIMULATED = 0.3  # of the attacks
_CLUES: tuple[Species, ...] = ("print", "replay")


@dataclass(frozen=True, kw_only=True, slots=True)
class Domain:
    """The crops of one source, `side` side 3 uint8."""

    name: str
    live: list[NDArray[np.uint8]]
    attacks: list[NDArray[np.uint8]]


def domains_of(items: Sequence[Presentation], side: int) -> list[Domain]:
    """Sources by name; those without live faces or attacks are left out, since a domain needs both."""
    found = []
    for name in sorted({item.source for item in items}):
        crops = [(item.live, face_of(crop_of(item), side)) for item in items if item.source == name]
        live, attacks = ([crop for kind, crop in crops if kind is wanted] for wanted in (True, False))
        if live and attacks:
            found.append(Domain(name=name, live=live, attacks=attacks))
    return found


def batches_of(domain: Domain, size: int, steps: int, seed: int) -> Callable[[int], Iterator[Batch]]:
    """Pictures B 3 H W and labels B (1: live) of step `first` and on; a step's batch depends on its number alone."""

    def source(first: int) -> Iterator[Batch]:
        for step in range(first, steps):
            rng = np.random.default_rng((seed, step))
            labels = np.arange(size) % 2
            faces = [_drawn(domain, bool(label), rng) for label in labels]
            yield torch.from_numpy(as_input(faces)), torch.from_numpy(labels)

    return source


def _drawn(domain: Domain, live: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A face at random light and place, mirrored half of the time."""
    simulated = not live and rng.random() < _SIMULATED
    pool = domain.live if live or simulated else domain.attacks
    face = pool[int(rng.integers(len(pool)))]
    if simulated:
        face = simulate(face, _CLUES[int(rng.integers(len(_CLUES)))], int(rng.integers(1 << 31)))
    side = face.shape[0]
    margin = int(rng.integers(side // 8 + 1))
    top, left = (int(value) for value in rng.integers(margin + 1, size=2))
    part = face[top : top + side - margin, left : left + side - margin]
    face = np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    lit = face * (rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, 3)) + rng.uniform(-15, 15)
    turned = lit[:, ::-1] if rng.random() < 0.5 else lit
    return np.asarray(turned.clip(0, 255), np.uint8)
