"""Which images share a sequence: first-fit decreasing bin packing (Johnson 1973; NaViT, Dehghani et al. 2023, section
2.1, packs greedily in the order of arrival)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitapps.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Packing:
    """`sequences[i]` names the items of sequence i, in ascending order; `fill` is the share of all places that hold a
    token, `capacity` the places of a sequence."""

    sequences: tuple[tuple[int, ...], ...]
    capacity: int
    fill: float


def pack(lengths: Sequence[int], capacity: int) -> Packing:
    """Put items of `lengths` tokens into as few sequences of `capacity` as first-fit decreasing finds: the longest
    first, each into the first sequence with room. At most 11/9 of the least possible number, plus one.

    UsageError where an item is longer than a sequence.
    """
    if lengths and max(lengths) > capacity:
        raise UsageError(
            f"an image of {max(lengths)} tokens in sequences of {capacity}", hint="a larger capacity, or smaller images"
        )
    rooms: list[int] = []
    sequences: list[list[int]] = []
    for item in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        place = next((index for index, room in enumerate(rooms) if room >= lengths[item]), len(rooms))
        if place == len(rooms):
            rooms.append(capacity)
            sequences.append([])
        rooms[place] -= lengths[item]
        sequences[place].append(item)
    places = len(sequences) * capacity
    fill = sum(lengths) / places if places else 1.0
    return Packing(sequences=tuple(tuple(sorted(items)) for items in sequences), capacity=capacity, fill=fill)
