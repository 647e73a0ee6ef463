"""What attend() can be asked for, and which requests go together."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.rotate import Rotation

Need = Literal["key_mean", "class_row", "map", "column_sum", "head_mean", "entropy"]
_WHOLE: frozenset[Need] = frozenset({"class_row", "map", "head_mean"})  # mean nothing in windows
_SQUARE: frozenset[Need] = frozenset({"map", "head_mean"})  # N N: mean nothing in packed sequences


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Attention inside the windows of a cyclically shifted partition (Swin, Liu et al. 2021, section 3.2).

    The N tokens are the patches of `grid` in row-major order, one to three axes, no prefix. Windows of `size` begin at
    `shift` (0 <= shift < size); tokens that the cyclic shift would bring together from opposite sides do not see each
    other. Where `grid` is no multiple of `size` the outer windows are smaller: nothing is padded. `table`
    prod(2 size - 1) h (Swin eq. 4) holds the bias of each relative position query - key, first axis slowest; None: no
    bias.
    """

    grid: tuple[int, ...]
    size: tuple[int, ...]
    shift: tuple[int, ...] = ()
    table: Tensor | None = None

    def __post_init__(self) -> None:
        shift = self.shift or (0,) * len(self.grid)
        object.__setattr__(self, "shift", shift)
        if not 1 <= len(self.grid) <= 3 or not len(self.grid) == len(self.size) == len(shift):
            raise UsageError(
                f"window {self.size} shifted by {shift} on a grid {self.grid}", hint="one to three axes, alike in all"
            )
        if any(not 0 <= step < size for step, size in zip(shift, self.size, strict=True)):
            raise UsageError(f"shift {shift} of a window {self.size}", hint="at least 0 and below the window size")
        rows = math.prod(2 * size - 1 for size in self.size)
        if self.table is not None and self.table.shape[0] != rows:
            raise UsageError(f"a table of {self.table.shape[0]} rows for windows {self.size}", hint=f"{rows} rows")


@dataclass(frozen=True, kw_only=True, slots=True)
class RelPos:
    """Decomposed relative position (MViTv2, Li et al. 2022, eq. 4; ViTDet, SAM): a sum of one bias per axis.

    The M keys are the patches of `grid` in row-major order, no prefix; `strips[a]` B h N grid[a] is what query n adds
    to every key whose coordinate on axis a is j (`strips.decomposed` makes them from the tables). With a window, `grid`
    is its size and coordinates count inside it.
    """

    grid: tuple[int, ...]
    strips: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        sizes = tuple(strip.shape[-1] for strip in self.strips)
        if sizes != tuple(self.grid):
            raise UsageError(f"strips of widths {sizes} for a grid {self.grid}", hint="one strip an axis")


class Options(TypedDict, total=False):
    """The keyword arguments of `attend`; its docstring says what each means."""

    bias: Tensor | None
    key_size: Tensor | None
    rope: Rotation | None
    cu_seqlens: Tensor | None
    window: Window | None
    rel_pos: RelPos | None
    scale: float | None
    need: Collection[Need]


def check(q: Tensor, k: Tensor, options: Options) -> None:
    """UsageError for requests that exclude each other or do not fit the tokens."""
    window, rel_pos = options.get("window"), options.get("rel_pos")
    need = set(options.get("need", ()))
    if need - set(get_args(Need)):
        raise UsageError(f"need {sorted(need)}", hint=f"known: {', '.join(get_args(Need))}")
    if window is None and rel_pos is None and options.get("cu_seqlens") is None:
        return
    _check_pairs(options, need)
    if window is not None and not math.prod(window.grid) == q.shape[2] == k.shape[2]:
        raise UsageError(f"{q.shape[2]} tokens for a window grid {window.grid}", hint="tokens without prefix")
    if rel_pos is not None:
        keys = k.shape[2] if window is None else math.prod(window.size)
        if math.prod(rel_pos.grid) != keys:
            raise UsageError(f"rel_pos of a grid {rel_pos.grid} for {keys} keys", hint="the grid of the keys")


def _check_pairs(options: Options, need: set[Need]) -> None:
    given = {name for name, value in options.items() if value is not None}
    for one, others in {"cu_seqlens": {"bias", "window", "rel_pos"}, "window": {"bias"}}.items():
        if one in given and (clash := sorted(others & given)):
            raise UsageError(f"{one} together with {', '.join(clash)}", hint=_INSTEAD[one])
    refused = need & (_WHOLE if "window" in given else _SQUARE if "cu_seqlens" in given else set())
    if refused:
        raise UsageError(f"need {', '.join(sorted(refused))} of tokens that see only a part", hint="ask per image")


_INSTEAD = {
    "cu_seqlens": "run the images one by one, or without it",
    "window": "give the bias as the window's table",
}
