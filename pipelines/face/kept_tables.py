"""Finished tables of `vitapps face eval all`, kept so that an interrupted run need not score them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitapps import __version__
from vitapps.atomic import write_text
from vitapps.errors import OutputError
from vitapps.jsonable import json_text, shown
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
    """`FOLDER/NAME.json`, each with the key of what it was made from: version, its models, limit and the data's files
    by size and time. A changed program of the same version is not seen: delete the file to score again."""

    def __init__(self, folder: Path, data: Path, limit: int, names: Iterable[str]) -> None:
        """Raises OutputError where the folder cannot be made or one of `names` is a file that this class did not
        write."""
        self.folder, self._state = folder, _state(data, limit)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: {error.strerror}", hint="give another --keep") from error
        for name in names:
            if self._path(name).exists() and self._stored(name) is None:
                raise OutputError(f"{self._path(name)}: no table of `face eval all`", hint="give another --keep")

    def read(self, name: str, cards: Iterable[str] = ()) -> Part | None:
        """The table of the same data, models and limit; None without one."""
        stored = self._stored(name)
        if stored is None or stored["made_from"] != self._key(cards):
            return None
        return Part(**stored["part"] | {"kept": True})

    def write(self, part: Part, cards: Iterable[str] = ()) -> None:
        """Keep a finished table; a failed one is scored again next time."""
        if not part.failed:
            text = json_text({"made_from": self._key(cards), "part": asdict(part)})
            write_text(self._path(part.name), text, overwrite=True)

    def _key(self, cards: Iterable[str]) -> str:
        """The scores in a card change no result."""
        found = [load_card(name) for name in cards]
        models = [json_text([card.sha256, card.arch, card.config, card.preprocess, card.labels]) for card in found]
        return hashlib.sha256("".join([self._state, *models]).encode()).hexdigest()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _stored(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValueError):
            return None
        return found if isinstance(found, dict) and {"made_from", "part"} <= found.keys() else None


def _state(data: Path, limit: int) -> str:
    """What every table hangs on, as text."""
    files = sorted(item for item in data.rglob("*") if item.is_file())
    seen = [(shown(str(path.relative_to(data))), path.stat()) for path in files]
    return "\n".join(
        [f"{__version__} {limit}", *(f"{name} {found.st_size} {found.st_mtime_ns}" for name, found in seen)]
    )
