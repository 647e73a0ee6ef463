"""LFW's `pairs.txt` (View 2): folds of pairs of pictures, half of them of one person (Huang et al. 2007, section 4).

    10  300
    Abel_Pacheco  1  4                            two pictures of one person
    Abdel_Madi_Shabneh  1  Dean_Barker  1         pictures of two

A picture is `NAME/NAME_0001.jpg` below the folder of LFW.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.errors import UnreadableInputError


@dataclass(frozen=True, slots=True)
class LfwPair:
    """Pictures of a pair, relative to the folder of LFW; `fold` counts from 0."""

    first: Path
    second: Path
    same: bool
    fold: int

    @property
    def people(self) -> set[str]:
        """The one or two people in it."""
        return {self.first.parent.name, self.second.parent.name}


def read_lfw_pairs(path: Path) -> list[LfwPair]:
    """All pairs of a file, in its order; UnreadableInputError names the line at fault."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInputError(f"{path}: not a readable list of pairs: {error}", hint="LFW's pairs.txt") from None
    try:
        folds, number = (int(value) for value in lines[0])
        if folds < 1 or number < 1 or len(lines) - 1 != 2 * folds * number:
            raise ValueError(f"{len(lines) - 1} pairs")
    except (IndexError, ValueError) as error:
        raise UnreadableInputError(f"{path}: line 1 does not fit: {error}", hint="folds, and pairs a kind") from None
    return [_pair(path, place, words, place // (2 * number)) for place, words in enumerate(lines[1:])]


def _pair(path: Path, place: int, words: list[str], fold: int) -> LfwPair:
    try:
        if len(words) == 3:
            name, first, second = words
            return LfwPair(_picture(name, first), _picture(name, second), True, fold)
        one, first, other, second = words
        return LfwPair(_picture(one, first), _picture(other, second), False, fold)
    except ValueError:
        raise UnreadableInputError(
            f"{path}: line {place + 2} is no pair: {' '.join(words)!r}", hint="NAME 1 2, or NAME 1 NAME 2"
        ) from None


def _picture(name: str, number: str) -> Path:
    return Path(name) / f"{name}_{int(number):04d}.jpg"
