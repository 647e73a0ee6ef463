"""From the label numbers of a ground truth to those of a model, as a JSON file says.

    {"map": {"4": 14, "71": -1}, "cortex_right_even": 42, "cortex_left_odd": 3}

`map` sends truth numbers to model numbers; -1 excludes those voxels from the score; a number that is not listed is
background. The two `cortex_…` entries send every number from 100 on by its parity, as the Neuromorphometrics protocol
numbers cortical areas. A flat object of numbers (`{"1": 17}`) is a `map` too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError

IGNORE = -1
FIRST_CORTICAL = 100
_KEYS = {"map", "cortex_right_even", "cortex_left_odd", "comment"}


@dataclass(frozen=True, slots=True)
class LabelMapping:
    """`apply(truth)` gives model numbers, `IGNORE` where a voxel must not count."""

    pairs: dict[int, int]
    even: int | None = None
    odd: int | None = None

    def apply(self, truth: NDArray[np.int64]) -> NDArray[np.int64]:
        """Map every voxel; the shape stays."""
        values, inverse = np.unique(truth, return_inverse=True)
        mapped = np.array([self._one(int(value)) for value in values], np.int64)
        return mapped[inverse].reshape(truth.shape)

    def _one(self, value: int) -> int:
        if value in self.pairs:
            return self.pairs[value]
        if value >= FIRST_CORTICAL:
            return (self.odd if value % 2 else self.even) or 0
        return 0


def read_label_mapping(path: Path) -> LabelMapping:
    """Raises UnreadableInputError with the faulty entry."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableInputError(f"{path}: {error.strerror}", hint="check --labels") from error
    except ValueError as error:
        raise UnreadableInputError(f"{path}: not JSON: {error}", hint="check --labels") from error
    if not isinstance(found, dict):
        raise UnreadableInputError(f"{path}: a JSON object is expected", hint='for example {"map": {"1": 17}}')
    table: dict[str, Any] = found if "map" in found else {"map": found}
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise UnreadableInputError(f"{path}: unknown entry {unknown[0]!r}", hint=f"known: {', '.join(sorted(_KEYS))}")
    try:
        pairs = {int(key): int(value) for key, value in table["map"].items()}
        even, odd = (table.get(name) for name in ("cortex_right_even", "cortex_left_odd"))
        return LabelMapping(pairs, None if even is None else int(even), None if odd is None else int(odd))
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableInputError(f"{path}: {error}", hint="numbers are expected on both sides") from error
