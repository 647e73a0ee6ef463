"""From log probabilities of a line to characters with their places: best-path decoding of CTC, no torch.

The best path takes the likeliest class of every token, joins repeats and drops blanks (Graves et al. 2006, section
3.2). A character stands where its run of tokens is, its chance is the largest of the run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BLANK = 0
RIVALS = {".": ","}  # what a character is most easily taken for, where its neighbours can tell (`look_alikes.py`)
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """One character of the best path. `token`: where it is likeliest; `probability` there; `path`: log probability of
    the tokens from this character's first to the one before the next character's; `rival`: log probability of its
    rival at its place, minus infinity where it has none."""

    char: str
    token: int
    probability: float
    path: float
    rival: float = -math.inf


def best_path(log_probs: Floats, charset: str) -> tuple[Peak, ...]:
    """The characters of N K log probabilities; a blank at either end and doubled blanks are left out."""
    classes = log_probs.argmax(axis=1)
    scores = log_probs[np.arange(len(classes)), classes]
    starts = np.flatnonzero(np.diff(classes, prepend=-1))
    ends = np.append(starts[1:], len(classes))
    peaks: list[Peak] = []
    waiting = 0.0  # of blanks before the first character
    for start, end in zip(starts, ends, strict=True):
        total, kind = float(scores[start:end].sum()), int(classes[start])
        if kind == BLANK:
            if peaks:
                peaks[-1] = _longer(peaks[-1], total)
            else:
                waiting += total
            continue
        token = int(start + scores[start:end].argmax())
        char = charset[kind - 1]
        if char == " " and (not peaks or peaks[-1].char == " "):
            continue
        rival = _rival(log_probs, token, char, charset)
        chance = float(np.exp(scores[token]))
        peaks.append(Peak(char=char, token=token, probability=chance, path=total + waiting, rival=rival))
        waiting = 0.0
    return tuple(peaks[:-1] if peaks and peaks[-1].char == " " else peaks)


def _longer(peak: Peak, more: float) -> Peak:
    return dataclasses.replace(peak, path=peak.path + more)


def _rival(log_probs: Floats, token: int, char: str, charset: str) -> float:
    """The log probability of a character's rival at its token or beside it."""
    rival = charset.find(RIVALS.get(char, "\n"))  # no charset has a line break
    return float(log_probs[max(0, token - 1) : token + 2, rival + 1].max()) if rival >= 0 else -math.inf


def word_spans(peaks: Sequence[Peak]) -> tuple[tuple[int, int], ...]:
    """First and past-last number of the characters of each word."""
    gaps = [-1, *(place for place, peak in enumerate(peaks) if peak.char == " "), len(peaks)]
    spans = ((one + 1, other) for one, other in pairwise(gaps))
    return tuple((first, last) for first, last in spans if last > first)
