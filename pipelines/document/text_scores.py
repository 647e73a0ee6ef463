"""How well a text was read: CER and WER, order-free CER, bag-of-words F1, bootstrap intervals, a reliability curve.

Two normalisations are scored side by side. `strict`: NFC, every run of blanks as one space. `folded`: strict, and what
ground truths of different origin write differently is made alike: quotes (TeX's ``…'' too), dashes, ligatures, raised
digits, dots in a row, no space before ; : ! ?. Characters are code points after that.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_BARE = re.compile(r"[^\W_]+")
_FOLDS = (
    ("``", '"'), ("''", '"'), ("‘‘", '"'), ("’’", '"'), ("“", '"'), ("”", '"'),
    ("„", '"'), ("«", '"'), ("»", '"'), ("‘", "'"), ("’", "'"),
    ("`", "'"), ("´", "'"), ("‹", "'"), ("›", "'"), ("–", "-"), ("—", "-"), ("−", "-"), ("‐", "-"), ("‑", "-"),
    ("\u00ad", "-"), ("ﬁ", "fi"), ("ﬂ", "fl"), ("ﬀ", "ff"), ("ﬃ", "ffi"), ("ﬄ", "ffl"), ("…", "..."), ("¹", "1"),
    ("²", "2"), ("³", "3"), ("⁰", "0"), ("⁴", "4"), ("•", "·"), ("ſ", "s"),
)  # fmt: skip
_RESAMPLES = 1000


def strict_text(text: str) -> str:
    """NFC, blanks as one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def folded_text(text: str) -> str:
    """See the module: what differs only by convention is made alike."""
    text = strict_text(text)
    for one, other in _FOLDS:
        text = text.replace(one, other)
    for mark in ";:!?":
        text = text.replace(f" {mark}", mark)
    return text


def bare_words(text: str) -> list[str]:
    """The runs of letters and figures in a text: what is left of its words where marks and gaps beside them are a
    matter of convention, as on receipts (`Cashier :` and `Cashier:`)."""
    return _BARE.findall(text)


def edit_distance(found: Sequence[Hashable], truth: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions from one sequence to the other (Levenshtein), in the bit-parallel
    form of Myers 1999 as corrected by Hyyrö 2003: Python's long integers hold a whole column."""
    if not truth or not found:
        return max(len(truth), len(found))
    return _columns(truth, found, anywhere=False)


def free_distance(line: Sequence[Hashable], text: Sequence[Hashable]) -> int:
    """Edit distance of `line` to that part of `text` which it fits best (Sellers 1980): where it stands is free."""
    return _columns(line, text, anywhere=True) if line else 0


def _columns(pattern: Sequence[Hashable], text: Sequence[Hashable], *, anywhere: bool) -> int:
    """Distance of `pattern` to the whole of `text`, or the least to any part of it."""
    places: dict[Hashable, int] = {}
    for place, item in enumerate(pattern):
        places[item] = places.get(item, 0) | 1 << place
    size = len(pattern)
    full, last = (1 << size) - 1, 1 << (size - 1)
    rises, falls, score = full, 0, size  # vertical differences of +1 and -1, the bottom cell
    least = score
    for item in text:
        equal = places.get(item, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal
        up, down = falls | (~(diagonal | rises) & full), rises & diagonal  # horizontal differences
        score += bool(up & last) - bool(down & last)
        least = min(least, score)
        up, down = (up << 1) | (not anywhere), down << 1
        vertical = equal | falls
        rises, falls = (down | ~(vertical | up)) & full, up & vertical & full
    return least if anywhere else score


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorRate:
    """`edits` of `length` units of truth, `rate` their quotient in percent; `low`, `high`: its 95 % interval, by
    resampling lines or pages (percentile bootstrap, 1000 draws)."""

    edits: int
    length: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Percent; NaN where there is no truth."""
        return 100 * self.edits / self.length if self.length else float("nan")


def error_rate(edits: Sequence[int], lengths: Sequence[int], seed: int = 0) -> ErrorRate:
    """The rate of all units together, with its interval over them."""
    wrong, size = np.asarray(edits, np.float64), np.asarray(lengths, np.float64)
    low = high = float("nan")
    if size.sum() > 0:
        drawn = np.random.default_rng(seed).integers(0, len(size), (_RESAMPLES, len(size)))
        rates = 100 * wrong[drawn].sum(axis=1) / np.maximum(size[drawn].sum(axis=1), 1)
        low, high = (float(value) for value in np.percentile(rates, (2.5, 97.5)))
    return ErrorRate(edits=int(wrong.sum()), length=int(size.sum()), low=low, high=high)


def character_errors(found: Sequence[str], truth: Sequence[str]) -> ErrorRate:
    """CER of texts that are already normalised, one of `found` for each of `truth`."""
    edits = [edit_distance(one, other) for one, other in zip(found, truth, strict=True)]
    return error_rate(edits, [len(text) for text in truth])


def word_errors(found: Sequence[str], truth: Sequence[str]) -> ErrorRate:
    """WER: words are what blanks separate."""
    edits = [edit_distance(one.split(), other.split()) for one, other in zip(found, truth, strict=True)]
    return error_rate(edits, [len(text.split()) for text in truth])


def free_errors(found: Sequence[str], truth_lines: Sequence[Sequence[str]]) -> ErrorRate:
    """Order-free CER of pages: every line of the truth is sought anywhere in the text found for its page."""
    edits = [
        sum(free_distance(line, text) for line in lines) for text, lines in zip(found, truth_lines, strict=True)
    ]  # fmt: skip
    return error_rate(edits, [sum(len(line) for line in lines) for lines in truth_lines])


@dataclass(frozen=True, kw_only=True, slots=True)
class BagScore:
    """Words found and right, found, and to be found, wherever they stand."""

    right: int
    found: int
    truth: int

    @property
    def precision(self) -> float:
        """Share of what was found; 0 for nothing."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of what was to be found; 0 for nothing."""
        return self.right / self.truth if self.truth else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where nothing was to be found and nothing was."""
        total = self.found + self.truth
        return 2 * self.right / total if total else 1.0


def bag_of_words(found: Iterable[str], truth: Iterable[str]) -> BagScore:
    """Words as multisets: a word found twice that stands once counts once."""
    one, other = Counter(found), Counter(truth)
    return BagScore(right=(one & other).total(), found=one.total(), truth=other.total())
