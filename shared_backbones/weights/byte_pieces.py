"""Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909), and the stand-ins of bytes in the vocabularies of GPT-2
and CLIP (Radford et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise


@lru_cache(maxsize=1)
def stand_ins() -> dict[str, int]:
    """Byte of every stand-in: itself, or the next free one from U+0100 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}


def joined_pairs(letters: Sequence[str], rank: Callable[[str, str], int | None]) -> list[str]:
    """Pieces of a word (section 3.2): of neighbours that have a `rank`, the least and then the first are joined, until
    there are none."""
    parts = list(letters)
    while True:
        ranked = [(number, place) for place, pair in enumerate(pairwise(parts)) if (number := rank(*pair)) is not None]
        if not ranked:
            return parts
        _, place = min(ranked)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
