"""Batches of samples that are made as they are wanted, each from a number of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vitapps.pipelines.runtime.fit import Batch

SEED_STRIDE = 10_000_019  # samples of different seeds never coincide


def numbered_batches(
    sample: Callable[[int], tuple[Tensor, ...]], *, steps: int, batch: int, seed: int
) -> Callable[[int], Iterator[Batch]]:
    """What `fit` asks for: from a step on, `batch` samples a step, stacked; a number gives the same sample always."""

    def batches(first: int) -> Iterator[Batch]:
        for step in range(first, steps):
            numbers = (seed * SEED_STRIDE + step * batch + place for place in range(batch))
            parts = zip(*(sample(number) for number in numbers), strict=True)
            yield tuple(torch.stack(part) for part in parts)

    return batches


def unseen_number(seed: int, place: int) -> int:
    """That of a sample which no step of a training with `seed` has made."""
    return (seed + 1) * SEED_STRIDE - 1 - place
