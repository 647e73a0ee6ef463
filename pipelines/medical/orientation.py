"""Turning a volume to named axes by flips and permutations alone, and back. No voxel value is ever changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UsageError

_WORLD = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


@dataclass(frozen=True, slots=True)
class Turn:
    """`axes[i]` is the stored axis that becomes axis i; `flips[i]` whether it is reversed."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Stored X Y Z -> turned X Y Z, a view."""
        return array.transpose(self.axes)[self._slices()]

    def undo(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turned X Y Z -> stored X Y Z, a view."""
        return array[self._slices()].transpose(np.argsort(self.axes).tolist())

    def affine(self, affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Affine of the turned volume; `shape` is that of the stored one."""
        index = np.zeros((4, 4))  # turned voxel index -> stored voxel index
        index[3, 3] = 1.0
        for new, (old, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            index[old, new] = -1.0 if flip else 1.0
            index[old, 3] = shape[old] - 1 if flip else 0.0
        return affine @ index

    def _slices(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)


def turn_to(affine: NDArray[np.float64], codes: str) -> Turn:
    """The flips and permutation that bring the axes nearest to `codes`, e.g. RAS: to Right, Anterior, Superior.

    Of all six permutations the one with the largest sum of |cosines| is taken, so an oblique or sheared volume always
    has an answer and no two axes compete for one direction.
    """
    if sorted(_WORLD.get(code, (-1, 0))[0] for code in codes) != [0, 1, 2]:
        raise UsageError(f"orientation {codes!r}: not three anatomical directions", hint="for example RAS or LPS")
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)  # world, stored axis
    wanted = [_WORLD[code] for code in codes]
    axes = max(permutations(range(3)), key=lambda p: sum(abs(cosines[wanted[i][0], p[i]]) for i in range(3)))
    flips = [bool(cosines[world, axis] * sign < 0) for (world, sign), axis in zip(wanted, axes, strict=True)]
    return Turn((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def axis_codes(affine: NDArray[np.float64]) -> str:
    """The direction in which each stored axis runs, e.g. LPS: towards Left, Posterior, Superior."""
    turn = turn_to(affine, "RAS")
    codes = [""] * 3
    for world, (axis, flip) in enumerate(zip(turn.axes, turn.flips, strict=True)):
        codes[axis] = ("RAS", "LPI")[flip][world]
    return "".join(codes)
