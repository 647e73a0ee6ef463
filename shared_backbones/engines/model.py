"""What every engine returns: a callable on arrays that knows how it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.float32], ...]
Run = Callable[..., Arrays]
BUCKETS = (32, 16, 8, 4, 2, 1)


def _nothing() -> None:
    """Most engines give nothing back."""


@dataclass(kw_only=True, slots=True)
class CompiledModel:
    """`model(B C *spatial float32) -> one array per name of output_names`. `threads` 0: chosen by the device;
    `reason`: why this engine and precision.

    `lend`, where an engine has it: as the call, but the answers are the engine's own memory, which the next call
    overwrites; the caller may change them. `release`: give back what computing needs, until the next call. `together`:
    calls that run at once where several threads call; 1: they take turns, or must not call at once.
    """

    run: Run
    engine: str
    precision: str
    device: str
    threads: int
    card_name: str
    output_names: tuple[str, ...]
    reason: str = "asked for"
    lend: Run | None = None
    release: Callable[[], None] = _nothing
    together: int = 1

    def __call__(self, *inputs: NDArray[np.float32]) -> Arrays:
        return self.run(*inputs)


def in_buckets(run: Run, buckets: Sequence[int] = BUCKETS) -> Run:
    """Call `run` with batches of 32, 16, 8, 4, 2 or 1 only (`buckets`, falling): 13 windows go as 8 + 4 + 1.

    An engine prepares kernels for every new shape and keeps them, so that ever-changing batches cost time and memory.
    Splitting wastes no work, padding to the next size would.
    """

    def split(*inputs: NDArray[np.float32]) -> Arrays:
        number = inputs[0].shape[0]
        if number in buckets:
            return run(*inputs)
        parts, first = [], 0
        while first < number:
            size = next(bucket for bucket in buckets if bucket <= number - first)
            parts.append(run(*(array[first : first + size] for array in inputs)))
            first += size
        if not parts:  # no window at all: the engine says what an empty batch looks like
            return run(*inputs)
        return tuple(np.concatenate(answers) for answers in zip(*parts, strict=True))

    return split
