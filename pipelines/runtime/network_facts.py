"""What a run record says of the network that computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from vitapps.options import NO_REDUCTION, RunOptions
from vitapps.provenance import RunRecord, sha256_file
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """Name and sha256 of the card, and how its network is run; `threads` 0 means chosen by the device."""

    name: str = ""
    sha256: str = ""
    engine: str = ""
    precision: str = ""
    device: str = ""
    threads: int = 0
    reason: str = ""

    @classmethod
    def of(cls, card: Card, model: CompiledModel) -> NetworkFacts:
        """The facts of a card whose network `load_model` has compiled."""
        return cls(
            name=card.name, sha256=card.sha256, engine=model.engine, precision=model.precision, device=model.device,
            threads=model.threads, reason=model.reason,
        )  # fmt: skip


def new_record(
    networks: Sequence[NetworkFacts], *, options: RunOptions, settings: Any = None, command: str = "",
    inputs: Sequence[Path] = (),
) -> RunRecord:  # fmt: skip
    """A run record with the networks of a command (engine and device: those of the first), its options, the dataclass
    or mapping `settings`, and the sha256 of `inputs`."""
    chosen = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else dict(settings or {})
    if options.reduce != NO_REDUCTION:
        chosen["reduce"] = options.reduce
    first = networks[0] if networks else NetworkFacts(device="cpu", threads=options.threads)
    return RunRecord(
        command=command,
        options={key: str(value) if isinstance(value, Path) else value for key, value in chosen.items()},
        weights={item.name: item.sha256 for item in networks},
        engine=first.engine,
        engine_reason=first.reason,
        precision=first.precision,
        device=first.device,
        threads=first.threads,
        seed=options.seed,
        inputs={str(path): sha256_file(path) for path in inputs},
    )
