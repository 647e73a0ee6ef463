"""Finished tables of `vitapps face eval all`, kept so that an interrupted run need not score them again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitapps.jsonable import shown
from vitapps.pipelines.runtime.kept import KeptParts
from vitapps.shared_backbones.weights.cards import load_card


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One evaluation: its `table` (JSON-ready) and the `lines` that show it, or why there is none: `skipped` without
    its data, `failed` with them. `cpu_s` seconds of all threads, `peak_mb` memory of the process up to its end; `kept`:
    read from an earlier run."""

    name: str
    table: Any = None
    lines: list[str] = field(default_factory=list)
    cpu_s: float = 0.0
    peak_mb: int = 0
    skipped: str = ""
    failed: str = ""
    kept: bool = False


class KeptTables:
    """Tables in a folder, each made from its models, limit and the data's files by size and time."""

    def __init__(self, folder: Path, data: Path, limit: int, names: Iterable[str]) -> None:
        """Raises OutputError as `KeptParts` does."""
        self._parts, self._state = KeptParts(folder, names, command="face eval all"), [limit, *_files(data)]

    def read(self, name: str, cards: Iterable[str] = ()) -> Part | None:
        """The table of the same data, models and limit; None without one."""
        part = self._parts.read(name, self._made_from(cards))
        return None if part is None else Part(**part | {"kept": True})

    def write(self, part: Part, cards: Iterable[str] = ()) -> None:
        """Keep a finished table; a failed one is scored again next time."""
        if not part.failed:
            self._parts.write(part.name, self._made_from(cards), asdict(part))

    def _made_from(self, cards: Iterable[str]) -> list[object]:
        """The scores in a card change no result."""
        found = [load_card(name) for name in cards]
        return [*self._state, *([card.sha256, card.arch, card.config, card.preprocess, card.labels] for card in found)]


def _files(data: Path) -> list[list[object]]:
    """Name, size and time of every file of the data."""
    files = sorted(item for item in data.rglob("*") if item.is_file())
    return [[shown(str(path.relative_to(data))), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
