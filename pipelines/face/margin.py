"""`vitapps face attack-test`: how small a change of a picture turns the verdict of our own models?

A black-box search in the manner of the Square Attack (Andriushchenko et al. 2020, ECCV, algorithm 1 and 2, L-infinity):
squares of the picture move by plus or minus epsilon, a move is kept when the score comes nearer to the other side. It
needs no gradient, so that it works on texture histograms; what it finds is an upper bound of the margin, since an
attacker with more queries or with gradients does better.

The second search may change one square of the picture wholly, as a sticker would (Patch-RS, Croce et al. 2022, AAAI,
algorithm 1 with squares as updates): how large must it be?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Score = Callable[[NDArray[np.uint8]], float]
STEPS = (1, 2, 4, 8, 16)  # grey levels
PATCHES = (1, 2, 5, 10)  # percent of the picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """`start` the score before; `best` strength -> the score that the search reached; `smallest` strength whose score
    crossed the threshold, None where none did; `queries` of the model in all. A strength is an epsilon in grey levels,
    or the area of a patch in percent."""

    start: float
    threshold: float
    best: dict[int, float]
    smallest: int | None
    queries: int


def find_margin(
    score: Score, pixels: NDArray[np.uint8], threshold: float, *, queries: int = 100, seed: int = 0,
    patches: bool = False,
) -> Margin:  # fmt: skip
    """Try growing epsilons (`patches`: growing squares), `queries` each, until the score of H W 3 crosses the
    threshold."""
    start = score(pixels)
    upwards = start < threshold
    best: dict[int, float] = {}
    asked = 1
    search = _patch_search if patches else search_squares
    for strength in PATCHES if patches else STEPS:
        rng = np.random.default_rng(seed)
        found, used = search(score, pixels, strength, threshold, upwards, queries, rng)
        best[strength] = round(found, 4)
        asked += used
        if (found >= threshold) == upwards:
            return Margin(start=start, threshold=threshold, best=best, smallest=strength, queries=asked)
    return Margin(start=start, threshold=threshold, best=best, smallest=None, queries=asked)


def search_squares(
    score: Score, pixels: NDArray[np.uint8], epsilon: int, threshold: float, upwards: bool, queries: int,
    rng: np.random.Generator,
) -> tuple[float, int]:  # fmt: skip
    """The score of H W 3 nearest to the other side of the threshold that squares of plus and minus `epsilon` reach, and
    the queries used."""
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


def _patch_search(
    score: Score, pixels: NDArray[np.uint8], percent: int, threshold: float, upwards: bool, queries: int,
    rng: np.random.Generator,
) -> tuple[float, int]:  # fmt: skip
    """As `search_squares`, with a square of that share of the picture whose content and place are free."""
    height, width = pixels.shape[:2]
    side = max(1, min(height, width, round(np.sqrt(percent / 100 * height * width))))
    patch = np.repeat(rng.choice((0, 255), size=(1, side, 3)), side, axis=0).astype(np.uint8)
    place = _anywhere(height, width, side, rng)
    current = score(_pasted(pixels, patch, place))
    for number in range(1, queries):
        if (current >= threshold) == upwards:
            return current, number
        tried, there = patch.copy(), place
        if number % 4 == 0:
            there = _anywhere(height, width, side, rng)
        else:
            part = max(1, round(side * np.sqrt(0.5 ** (6 * number / queries)) / 2))
            top, left = _anywhere(side, side, part, rng)
            tried[top : top + part, left : left + part] = rng.choice((0, 255), size=3)
        value = score(_pasted(pixels, tried, there))
        if (value > current) == upwards and value != current:
            patch, place, current = tried, there, value
    return current, queries


def _anywhere(height: int, width: int, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a square in a picture."""
    return int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))


def _pasted(pixels: NDArray[np.uint8], patch: NDArray[np.uint8], place: tuple[int, int]) -> NDArray[np.uint8]:
    out, side = pixels.copy(), len(patch)
    out[place[0] : place[0] + side, place[1] : place[1] + side] = patch
    return out


def _moved(pixels: NDArray[np.uint8], change: NDArray[np.integer]) -> NDArray[np.uint8]:
    return (pixels.astype(np.int16) + change).clip(0, 255).astype(np.uint8)
