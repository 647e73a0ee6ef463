"""Finished parts of a long measurement, kept in a folder so that an interrupted run goes on with the next part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vitapps import __version__
from vitapps.atomic import write_text
from vitapps.errors import OutputError
from vitapps.jsonable import json_text


class KeptParts:
    """`FOLDER/NAME.json`: the JSON-ready value of a part and the key of what it was made from, the version included.
    A changed program of the same version is not seen: delete the file to measure again."""

    def __init__(self, folder: Path, names: Iterable[str], *, command: str) -> None:
        """Raises OutputError where the folder cannot be made or one of `names` is a file that this class did not
        write; `command` is whose parts they are."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: {error.strerror}", hint="give another --keep") from error
        for name in names:
            if self._path(name).exists() and self._stored(name) is None:
                raise OutputError(f"{self._path(name)}: no table of `{command}`", hint="give another --keep")

    def read(self, name: str, made_from: Iterable[object]) -> Any | None:
        """The value that was made from the same; None without one."""
        stored = self._stored(name)
        return None if stored is None or stored["made_from"] != _key(made_from) else stored["part"]

    def write(self, name: str, made_from: Iterable[object], value: object) -> None:
        """Keep `value`, JSON-ready, in place of what was kept under `name`."""
        text = json_text({"made_from": _key(made_from), "part": value})
        write_text(self._path(name), text, overwrite=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _stored(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValueError):
            return None
        return found if isinstance(found, dict) and {"made_from", "part"} <= found.keys() else None


def _key(made_from: Iterable[object]) -> str:
    return hashlib.sha256(json_text([__version__, *made_from]).encode()).hexdigest()
