"""The linear machines of liveness and deepfake: one row of weights and a bias in a card, computed by numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.require import require

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
    from vitapps.shared_backbones.weights.cards import load_card, weights_path

    card = load_card(name)
    if card.task != task:
        raise MissingError(f"weights {card.name!r} are for {card.task}", hint="`vitapps models list`")
    state = require("safetensors.numpy", package="safetensors").load_file(str(weights_path(card)))
    try:
        return LinearCard(
            weights=state["linear.weight"][0].astype(np.float32),
            bias=float(state["linear.bias"][0]),
            extra=extra(card.preprocess),
            facts=NetworkFacts(name=card.name, sha256=card.sha256, engine="numpy", precision="exact", device="cpu"),
        )
    except (KeyError, TypeError, IndexError) as error:
        raise MissingError(f"weights {card.name!r}: the card is not usable ({error})", hint="train again") from error
