"""What a command says of the pictures of a data set, as shares of each verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """`shares` of the verdicts over the `pictures` of a source that are `truth` (edited, untouched, fake, real)."""

    source: str
    truth: str
    pictures: int
    shares: dict[str, float]


def count_verdicts(said: Sequence[tuple[str, str, str]], words: Sequence[str]) -> list[Verdicts]:
    """One row a source and truth, in the order in which they come; `said`: source, truth and verdict of each picture,
    `words` every verdict there is."""
    found: dict[tuple[str, str], list[str]] = {}
    for source, truth, verdict in said:
        found.setdefault((source, truth), []).append(verdict)
    return [
        Verdicts(
            source=source, truth=truth, pictures=len(answers),
            shares={word: round(answers.count(word) / len(answers), 3) for word in words},
        )
        for (source, truth), answers in found.items()
    ]  # fmt: skip
