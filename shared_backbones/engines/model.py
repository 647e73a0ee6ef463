"""What every engine returns: a callable on arrays that knows how it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.float32], ...]


@dataclass(kw_only=True, slots=True)
class CompiledModel:
    """`model(B C *spatial float32) -> one array per name of output_names`. `threads` 0: chosen by the device."""

    run: Callable[..., Arrays]
    engine: str
    precision: str
    device: str
    threads: int
    card_name: str
    output_names: tuple[str, ...]

    def __call__(self, *inputs: NDArray[np.float32]) -> Arrays:
        return self.run(*inputs)
