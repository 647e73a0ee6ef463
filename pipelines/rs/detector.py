"""A detector ready to run: the card's word on its use, and the compiled network."""

from __future__ import annotations

from dataclasses import dataclass, field

from vitapps.options import RunOptions
from vitapps.pipelines.rs.find import Predict
from vitapps.pipelines.rs.spec import DetectorSpec, spec_of

DEFAULT_WEIGHTS = "trees-neon"


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector:
    """`predict` is the network; the rest says what it is, for the run record."""

    spec: DetectorSpec
    predict: Predict
    name: str = ""
    sha256: str = ""
    engine: str = ""
    precision: str = ""
    device: str = ""
    threads: int = 0
    reason: str = ""
    options: RunOptions = field(default_factory=RunOptions)

    @property
    def batch(self) -> int:
        """Windows a call: enough to fill a GPU, few enough that a CPU keeps them in its cache."""
        return 32 if self.device.startswith("cuda") else 4


def load_detector(weights: str, options: RunOptions) -> Detector:
    """Load a card by name or path and compile its network; raises MissingError for what is no detector."""
    from vitapps.shared_backbones.engines.load import load_model
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(weights, "rs.detect")
    spec = spec_of(card.name, card.preprocess, card.labels)
    model = load_model(card, options)
    return Detector(
        spec=spec,
        predict=model,
        name=card.name,
        sha256=card.sha256,
        engine=model.engine,
        precision=model.precision,
        device=model.device,
        threads=model.threads,
        reason=model.reason,
        options=options,
    )
