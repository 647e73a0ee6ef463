"""Strict JSON from what the code holds: paths, dataclasses, numpy values; NaN and infinities become null."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def json_ready(value: Any) -> Any:
    """`value` as dicts, lists, strings, numbers and null; anything with `tolist` counts as an array."""
    if isinstance(value, float):  # numpy.float64 is one
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return shown(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, Path):
        return shown(str(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_ready(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {shown(str(key)): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_ready(item) for item in value]
    if hasattr(value, "tolist"):
        return json_ready(value.tolist())
    return shown(str(value))


def json_text(value: Any) -> str:
    """`value` as indented JSON text that ends with a newline."""
    return json.dumps(json_ready(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def shown(text: str) -> str:
    """`text` as valid Unicode: the bytes of a file name that is not UTF-8 are shown as `\\xNN`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
