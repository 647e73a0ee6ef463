"""CLIP's vocabulary: a sentence as numbers of BPE pieces (Sennrich et al. 2016), from `vocab.json` and `merges.txt`."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vitapps.errors import MissingError, UsageError
from vitapps.shared_backbones.weights.byte_pieces import joined_pairs, stand_ins

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"
_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipPieces:
    """`numbers` of the pieces; `ranks` of the pairs that are joined, first come first."""

    numbers: Mapping[str, int]
    ranks: Mapping[tuple[str, str], int]

    def encode(self, sentence: str, length: int) -> list[int]:
        """Numbers of a sentence between start and end. UsageError for one without a word, or of more than `length`
        pieces."""
        spelt = {byte: char for char, byte in stand_ins().items()}
        pieces = [
            piece
            for word in _WORDS.findall(unicodedata.normalize("NFC", sentence).lower())
            for piece in self._pieces("".join(spelt[byte] for byte in word.encode("utf-8")))
        ]
        if not pieces:
            raise UsageError(f"'{sentence}' holds no word", hint="name what is sought, as in 'a person'")
        if len(pieces) + 2 > length:
            raise UsageError(
                f"'{sentence[:60]}' has {len(pieces)} pieces, {length - 2} are the most", hint="use fewer words"
            )
        return [self.numbers[_START], *(self.numbers[piece] for piece in pieces), self.numbers[_END]]

    def _pieces(self, word: str) -> list[str]:
        """A word's letters, joined pair by pair in the order that the vocabulary was made in."""
        return joined_pairs([*word[:-1], word[-1] + _WORD_END], lambda one, other: self.ranks.get((one, other)))


def read_clip_pieces(vocabulary: Path, merges: Path) -> ClipPieces:
    """MissingError for files that are not readable or hold no vocabulary of CLIP's kind."""
    try:
        numbers = {str(piece): int(number) for piece, number in json.loads(vocabulary.read_text("utf-8")).items()}
        lines = [line.split() for line in merges.read_text("utf-8").splitlines() if not line.startswith("#version")]
        ranks = {(one, other): rank for rank, (one, other) in enumerate(line for line in lines if line)}
    except (OSError, ValueError, AttributeError) as error:
        raise MissingError(f"{vocabulary.parent}: no vocabulary of CLIP: {error}", hint="restore the files") from None
    letters = {char + end for char in stand_ins() for end in ("", _WORD_END)}
    if missing := ({_START, _END} | letters) - set(numbers):
        raise MissingError(f"{vocabulary}: lacks {len(missing)} pieces, as '{min(missing)}'", hint="CLIP's vocab.json")
    if unknown := [pair for pair in ranks if "".join(pair) not in numbers]:
        raise MissingError(f"{merges}: joins '{' '.join(unknown[0])}', which vocab.json lacks", hint="CLIP's files")
    return ClipPieces(numbers=numbers, ranks=ranks)
