"""Confidence of words: which were right, and the Platt scaling that makes path probabilities chances of being right."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

from vitapps.pipelines.document.recognise import Calibration, Reading, logit_of
from vitapps.pipelines.document.text_scores import folded_text

_RIDGE = 1e-3  # keeps the fit finite where right and wrong are wholly apart


def words_right(reading: Reading, truth: str, ignore_case: bool = False) -> list[tuple[float, bool]]:
    """Confidence of every word of a reading, and whether it stands in the truth at its place (folded)."""
    found = [folded_text(word.text.upper() if ignore_case else word.text) for word in reading.words]
    wanted = folded_text(truth).split()
    right = [False] * len(found)
    for block in SequenceMatcher(None, found, wanted, autojunk=False).get_matching_blocks():
        right[block.a : block.a + block.size] = [True] * block.size
    return [(word.confidence, good) for word, good in zip(reading.words, right, strict=True)]


def fit_calibration(log_probabilities: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Slope and offset of greatest likelihood (Platt 1999, with his targets, by Newton's method)."""
    x = np.array([[logit_of(value), 1.0] for value in log_probabilities])
    hit = np.asarray(right, bool)
    yes, no = int(hit.sum()), int((~hit).sum())
    if not yes or not no:
        return Calibration()
    target = np.where(hit, (yes + 1) / (yes + 2), 1 / (no + 2))
    theta = np.array([1.0, 0.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(x @ theta, -40, 40)))
        slope = x.T @ (chance - target) + _RIDGE * (theta - [1.0, 0.0])
        curvature = (x * (chance * (1 - chance))[:, None]).T @ x + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        theta -= step
        if np.abs(step).max() < 1e-7:
            break
    return Calibration(slope=float(theta[0]), offset=float(theta[1]))
