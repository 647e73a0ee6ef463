"""The file of `vitapps face calibrate verify`, read for the commands that decide."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.pipelines.face.embedder import Embedder, OperatingPoint


def calibrated(embedder: Embedder, path: Path | None) -> Embedder:
    """The embedder with the points of a file; as it is without one. UsageError where they are another model's."""
    if path is None:
        return embedder
    table = _read(path)
    if table.get("model") != embedder.contract:
        raise UsageError(
            f"{path}: measured on {str(table.get('model')).split()[0]}, not on these weights of {embedder.facts.name}",
            hint="`vitapps face calibrate verify` with the same --weights",
        )
    try:
        points = tuple(OperatingPoint(**point) for point in table["operating_points"])
        slope, offset = float(table["slope"]), float(table["offset"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableInputError(f"{path}: no calibration of face verify ({error})", hint="calibrate again") from None
    return replace(embedder, slope=slope, offset=offset, points=points)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableInputError(f"{path}: not a readable calibration: {error}", hint="calibrate again") from None
