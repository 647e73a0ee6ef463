"""How sure a word is: what the network's answer shows of it, brought to the chance that its letters are right.

A network that was trained on rendered lines is as sure on a receipt as on a journal, and less often right. What tells
them apart is more than the word's own path: how the whole line was read, how sure the gaps around the word are (a word
that was cut in two is wrong, however sure its letters are), and how low the crop was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-4
_SEEN = (8, 60)  # pixels: heights of crops between which the calibration follows them
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class WordEvidence:
    """Log probabilities of a word: its `path`, its `least` sure character, the `blanks` beside it together (0 for a
    whole line), the `line` a character; its number of `letters`; `height` of the crop in pixels."""

    path: float
    least: float
    blanks: float
    line: float
    letters: int
    height: int

    def features(self) -> Floats:
        """What `Calibration` weighs, in the order of its fields."""
        return np.array([
            logit_of(self.path), 1.0, logit_of(self.least), logit_of(self.blanks), logit_of(self.line),
            math.log(max(1, self.letters)), math.log(min(max(self.height, _SEEN[0]), _SEEN[1]) / _SEEN[1]),
        ])  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Logistic regression on a word's evidence; with `slope` and `offset` alone, Platt scaling of its path (1999)."""

    slope: float = 1.0
    offset: float = 0.0
    least: float = 0.0
    blanks: float = 0.0
    line: float = 0.0
    letters: float = 0.0
    height: float = 0.0

    def weights(self) -> Floats:
        """The fields in order."""
        return np.array([
            self.slope, self.offset, self.least, self.blanks, self.line, self.letters, self.height,
        ])  # fmt: skip

    def __call__(self, word: WordEvidence) -> float:
        """The calibrated chance that the word is right, 0 to 1."""
        return 1 / (1 + math.exp(-min(max(float(self.weights() @ word.features()), -40.0), 40.0)))


# the scale on which the thresholds of `read_page.py` were chosen; another calibration leaves them alone
CERTAINTY = Calibration(slope=0.73, offset=1.55)


def logit_of(log_probability: float) -> float:
    """log(p / (1 - p)), p kept within 1e-4 of 0 and 1: beyond that a network's chances say no more."""
    bounded = min(max(log_probability, math.log(_LEAST)), math.log1p(-_LEAST))
    return bounded - math.log(-math.expm1(bounded))
