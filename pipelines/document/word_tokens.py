"""The words of a line as rows for the word heads: cut out of the recogniser's tokens where CTC saw blanks.

A row is a token, its ordinal (how many characters of the word have begun up to it) and 1. The ordinal is counted softly
from the log probabilities of CTC: a character begins where its chance rises. One more row of zeros, with the ordinal of
a character that would follow, is the word's end (`shared_backbones/models/word_heads.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.document.ctc_decode import BLANK, Peak

Floats = NDArray[np.float32]
LONGEST = 160  # tokens of a word: longer ones are left to CTC
_REACH = 6  # tokens before the first and behind the last peak of a word, where no blank ends it earlier
_BUCKET = 16  # numbers of rows are multiples of it: few shapes for an engine to prepare


def word_range(peaks: Sequence[Peak], first: int, last: int, tokens: int) -> tuple[int, int]:
    """First and past-last token of the word of the characters `first` to `last` of a line of `tokens`."""
    before = peaks[first - 1].token + 1 if first else 0
    behind = peaks[last].token if last < len(peaks) else tokens
    return max(before, peaks[first].token - _REACH), min(behind, peaks[last - 1].token + _REACH + 1)


def ordinals_of(log_probs: Floats, blank_class: int) -> Floats:
    """N K log probabilities of a word -> N: characters begun up to each token, the class of blanks between words and
    that of none left out. What a chance rises by is what begins."""
    chances = np.exp(log_probs)
    chances[:, [BLANK, blank_class]] = 0.0
    rising = np.diff(chances, axis=0, prepend=0.0).clip(min=0.0)
    return np.asarray(rising.sum(axis=1).cumsum(), np.float32)


def rows_of(log_probs: Floats, tokens: Floats, blank_class: int) -> Floats:
    """N K and N D of a word -> N+1 D+2."""
    rows = np.zeros((len(tokens) + 1, tokens.shape[1] + 2), np.float32)
    rows[:-1, :-2] = tokens
    rows[:-1, -2] = ordinals_of(log_probs, blank_class)
    rows[-1, -2] = rows[-2, -2] + 1
    rows[:, -1] = 1.0
    return rows


def word_rows(
    log_probs: Floats, tokens: Floats, peaks: Sequence[Peak], places: Sequence[tuple[int, int]], blank_class: int
) -> tuple[Floats, ...]:
    """Rows of the words of a line whose characters are the `places` of `peaks`, none for one that is too long."""
    ranges = [word_range(peaks, first, last, len(tokens)) for first, last in places]
    return tuple(
        rows_of(log_probs[start:stop], tokens[start:stop], blank_class)
        if stop - start < LONGEST
        else np.zeros((0, tokens.shape[1] + 2), np.float32)
        for start, stop in ranges
    )


def padded(words: Sequence[Floats]) -> Floats:
    """Rows N D+2 of some words -> B N D+2, zeros behind the shorter ones."""
    longest = max(len(word) for word in words)
    batch = np.zeros((len(words), -(-longest // _BUCKET) * _BUCKET, words[0].shape[1]), np.float32)
    for row, word in zip(batch, words, strict=True):
        row[: len(word)] = word
    return batch


def like_lengths(words: Sequence[Floats], most: int) -> Iterator[list[int]]:
    """Numbers of the words in groups of `most` at most, words of like lengths together."""
    order = sorted(range(len(words)), key=lambda place: len(words[place]))
    for first in range(0, len(order), most):
        yield order[first : first + most]
