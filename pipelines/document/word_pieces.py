"""Words as classes of three granularities: characters, BPE pieces, WordPieces; class 0 ends a word. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from vitapps.shared_backbones.weights.byte_pieces import joined_pairs

Granularity = Literal["chars", "bpe", "wordpiece"]
GRANULARITIES: tuple[Granularity, ...] = ("chars", "bpe", "wordpiece")
END = 0
START_MARK = "▁"  # a WordPiece that begins a word, as in Wu et al. 2016 (arXiv:1609.08144); not of the charset


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """`pieces` of the classes 1, 2, …, those of BPE in the order in which they were learned."""

    kind: Granularity
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, kind: Granularity, preprocess: Mapping[str, str]) -> Vocabulary:
        """From a card: characters stand in `charset`, pieces with blanks between them."""
        text = preprocess["charset" if kind == "chars" else kind]
        return cls(kind=kind, pieces=tuple(text if kind == "chars" else text.split(" ")))

    @property
    def classes(self) -> int:
        """Their number, the end included."""
        return 1 + len(self.pieces)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {piece: place + 1 for place, piece in enumerate(self.pieces)}

    def encode(self, word: str) -> tuple[int, ...] | None:
        """The classes of a word without its end, None where the vocabulary lacks a piece of it."""
        if self.kind == "chars":
            parts: list[str] | None = list(word)
        elif self.kind == "bpe":
            parts = joined_pairs(word, lambda one, other: self._places.get(one + other))
        else:
            parts = _longest(START_MARK + word, self._places)
        if parts is None or not set(parts) <= self._places.keys():
            return None
        return tuple(self._places[part] for part in parts)

    def spell(self, classes: Sequence[int]) -> str:
        """The word of the classes up to the first end."""
        kept = list(classes)
        kept = kept[: kept.index(END)] if END in kept else kept
        return "".join(self.pieces[place - 1] for place in kept).replace(START_MARK, "")


def _longest(word: str, known: Mapping[str, int]) -> list[str] | None:
    """WordPiece: the longest known piece at the head, and again behind it; None where nothing fits."""
    parts = []
    while word:
        size = next((size for size in range(len(word), 0, -1) if word[:size] in known), 0)
        if not size:
            return None
        parts.append(word[:size])
        word = word[size:]
    return parts
