"""Files of `vitapps face calibrate`: TOML of numbers and texts without sections."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError


def toml_text(fields: Mapping[str, Any]) -> str:
    """Numbers and texts as TOML, one a line."""
    return "".join(
        f"{key} = {_quoted(value) if isinstance(value, str) else value}\n" for key, value in fields.items()
    )  # fmt: skip


@contextmanager
def calibration_table(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The table of a file of `face calibrate KIND`; what a wrong file raises, also where the caller looks for its
    values, becomes an UnreadableInputError."""
    try:
        yield tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableInputError(
            f"{path}: not a calibration: {error}", hint=f"make one with `vitapps face calibrate {kind}`"
        ) from None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
