"""The linear machines of liveness and deepfake: one row of weights and a bias in a card, computed by numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.pipelines.face.array_card import read_arrays
from vitapps.pipelines.runtime.network_facts import NetworkFacts

Extra = TypeVar("Extra")


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearCard(Generic[Extra]):
    """`weights` D and `bias`; `extra` is what the card's preprocess table says besides."""

    weights: NDArray[np.float32]
    bias: float
    extra: Extra
    facts: NetworkFacts


def read_linear(name: str, task: str, extra: Callable[[dict[str, Any]], Extra]) -> LinearCard[Extra]:
    """By card name or path; raises MissingError for a card of another task, or where `extra` finds a key missing.

    Neither torch nor a graph is used.
    """
    card, state, facts = read_arrays(name, task)
    try:
        return LinearCard(
            weights=state["linear.weight"][0].astype(np.float32),
            bias=float(state["linear.bias"][0]),
            extra=extra(card.preprocess),
            facts=facts,
        )
    except (KeyError, TypeError, IndexError) as error:
        raise MissingError(f"weights {card.name!r}: the card is not usable ({error})", hint="train again") from error
