"""Confidence of words: which were right, and the regression that makes what is seen of them chances of being right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from difflib import SequenceMatcher

import numpy as np

from vitapps.pipelines.document.confidence import Calibration, Floats, WordEvidence
from vitapps.pipelines.document.recognise import Reading
from vitapps.pipelines.document.text_scores import bare_words, folded_text

_ROUNDS = 50  # of Newton's method at most
_RIDGE = 1.0  # keeps the fit finite where right and wrong are wholly apart


def words_right(reading: Reading, truth: str, ignore_case: bool = False) -> list[tuple[float, bool]]:
    """Confidence of every word of a reading, and whether its letters and figures, all of them and no more between two
    gaps or marks, stand in the truth at their place (folded). A word of marks alone is right where it stands so."""
    words = [folded_text(word.text.upper() if ignore_case else word.text) for word in reading.words]
    whole = folded_text(truth)
    bare = found_in([bare_words(word) for word in words], bare_words(whole))
    marks = found_in([[word] for word in words], whole.split())
    return [
        (word.confidence, good if bare_words(text) else mark)
        for word, text, good, mark in zip(reading.words, words, bare, marks, strict=True)
    ]


def found_in(words: Sequence[Sequence[str]], wanted: Sequence[str]) -> list[bool]:
    """Whether all parts of each word have a counterpart when the parts of all are laid along `wanted`."""
    parts = [(part, number) for number, word in enumerate(words) for part in word]
    lost = [True] * len(parts)
    matcher = SequenceMatcher(None, [part for part, _ in parts], wanted, autojunk=False)
    for block in matcher.get_matching_blocks():
        lost[block.a : block.a + block.size] = [False] * block.size
    wrong = {number for (_, number), gone in zip(parts, lost, strict=True) if gone}
    return [number not in wrong for number in range(len(words))]


def fit_calibration(
    evidence: Sequence[WordEvidence], right: Sequence[bool], weights: Sequence[float] | None = None
) -> Calibration:
    """The logistic regression of greatest likelihood (with Platt's targets of 1999, by Newton's method); `weights` of
    the words, all alike by default. A ridge pulls towards the plain path probability where there is little to learn."""
    hit = np.asarray(right, bool)
    yes, no = int(hit.sum()), int((~hit).sum())
    if not yes or not no:
        return Calibration()
    x = np.stack([word.features() for word in evidence])  # n f
    mass = np.ones(len(x)) if weights is None else np.asarray(weights, float) * len(x) / sum(weights)
    target = np.where(hit, (yes + 1) / (yes + 2), 1 / (no + 2))
    start = Calibration().weights()

    def cost(theta: Floats) -> float:
        logits = x @ theta
        far = theta - start
        return float(mass @ (np.logaddexp(0, logits) - target * logits) + _RIDGE / 2 * far @ far)

    theta = start
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(x @ theta, -40, 40)))
        slope = x.T @ (mass * (chance - target)) + _RIDGE * (theta - start)
        curvature = (x * (mass * chance * (1 - chance))[:, None]).T @ x + _RIDGE * np.eye(len(theta))
        step = np.linalg.solve(curvature, slope)
        while cost(theta - step) > cost(theta) and np.abs(step).max() > 1e-9:
            step = step / 2
        theta = theta - step
        if np.abs(step).max() < 1e-7:
            break
    names = [item.name for item in fields(Calibration)]
    return Calibration(**dict(zip(names, theta.tolist(), strict=True)))
