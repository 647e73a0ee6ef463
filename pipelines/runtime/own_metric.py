"""A model's own metric as a bench asks for it: what a change of its network costs in the unit that its card names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitapps.options import RunOptions
from vitapps.shared_backbones.engines.load import load_elsewhere, load_here
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """`value` of the metric `name`, the higher the better."""

    name: str
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """`score(options)` is the metric of a card's network as those options run it. `calibrate(options)` runs the network
    on other inputs than `score` sees; None: such inputs have to be given."""

    weights: str
    score: Callable[[RunOptions], Metric]
    calibrate: Callable[[RunOptions], object] | None = None


@contextmanager
def answering(card: Card, module: nn.Module) -> Iterator[None]:
    """Meanwhile whoever loads the network of `card` gets `module`, by eager torch on the CPU."""
    from vitapps.shared_backbones.engines.torch import module_runner

    def load(asked: Card, options: RunOptions) -> CompiledModel:
        if asked.sha256 != card.sha256:
            return load_here(asked, options)
        threads = options.threads or 1
        run = module_runner(module, engine="torch", device="cpu", precision="exact", threads=threads)
        return CompiledModel(
            run=run, engine="torch", precision="exact", device="cpu", threads=threads, card_name=card.name,
            output_names=(),
        )  # fmt: skip

    load_elsewhere(load)
    try:
        yield
    finally:
        load_elsewhere(None)
