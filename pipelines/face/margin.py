"""`vitapps face attack-test`: how small a change of a picture turns the verdict of our own models?

A black-box search in the manner of the Square Attack (Andriushchenko et al. 2020, ECCV, algorithm 1 and 2, L-infinity):
squares of the picture move by plus or minus epsilon, a move is kept when the score comes nearer to the other side. It
needs no gradient, so that it works on texture histograms; what it finds is an upper bound of the margin, since an
attacker with more queries or with gradients does better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Score = Callable[[NDArray[np.uint8]], float]
STEPS = (1, 2, 4, 8, 16)  # grey levels


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """`start` the score before; `best` epsilon -> the score that the search reached; `smallest` epsilon whose score
    crossed the threshold, None where none did; `queries` of the model in all."""

    start: float
    threshold: float
    best: dict[int, float]
    smallest: int | None
    queries: int


def find_margin(
    score: Score, pixels: NDArray[np.uint8], threshold: float, *, queries: int = 100, seed: int = 0
) -> Margin:
    """Try growing epsilons, `queries` each, until the score of H W 3 crosses the threshold."""
    start = score(pixels)
    upwards = start < threshold
    best: dict[int, float] = {}
    asked = 1
    for epsilon in STEPS:
        rng = np.random.default_rng(seed)
        found, used = _search(score, pixels, epsilon, threshold, upwards, queries, rng)
        best[epsilon] = round(found, 4)
        asked += used
        if (found >= threshold) == upwards:
            return Margin(start=start, threshold=threshold, best=best, smallest=epsilon, queries=asked)
    return Margin(start=start, threshold=threshold, best=best, smallest=None, queries=asked)


def _search(
    score: Score, pixels: NDArray[np.uint8], epsilon: int, threshold: float, upwards: bool, queries: int,
    rng: np.random.Generator,
) -> tuple[float, int]:  # fmt: skip
    """The score nearest to the other side, and the queries used."""
    height, width = pixels.shape[:2]
    stripes = rng.choice((-epsilon, epsilon), size=(1, width, 3))  # the attack's vertical start
    change = np.repeat(stripes, height, axis=0)
    current = score(_moved(pixels, change))
    for number in range(1, queries):
        if (current >= threshold) == upwards:
            return current, number
        side = max(2, round(min(height, width) * np.sqrt(0.1 * 0.5 ** (6 * number / queries))))
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        tried = change.copy()
        tried[top : top + side, left : left + side] = rng.choice((-epsilon, epsilon), size=3)
        value = score(_moved(pixels, tried))
        if (value > current) == upwards and value != current:
            change, current = tried, value
    return current, queries


def _moved(pixels: NDArray[np.uint8], change: NDArray[np.integer]) -> NDArray[np.uint8]:
    return (pixels.astype(np.int16) + change).clip(0, 255).astype(np.uint8)
