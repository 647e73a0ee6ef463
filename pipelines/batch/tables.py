"""A TOML table into a frozen dataclass, with errors that name file, line and key."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from vitapps.errors import UsageError
from vitapps.pipelines.batch.toml_lines import Key, line_of

Record = TypeVar("Record")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """The file that a table comes from. Relative paths are relative to its folder."""

    path: Path
    lines: dict[Key, int]

    def error(self, key: Key, message: str, hint: str = "") -> UsageError:
        """`nightly.toml:12: limits.workers: message`."""
        return UsageError(f"{self.path}:{line_of(self.lines, key)}: {dotted(key)}: {message}", hint=hint)


def dotted(key: Key) -> str:
    """`("step", 1, "task")` -> `step[1].task`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def read_table(kind: type[Record], table: Any, key: Key, source: Source, **given: Any) -> Record:
    """An instance of dataclass `kind` from `table`; `given` fields are not read. Raises UsageError."""
    if not isinstance(table, Mapping):
        raise source.error(key, f"is {table!r}, not a table", f"write [{dotted(key)}]")
    hints = get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind) if item.name not in given}  # type: ignore[arg-type]
    values = dict(given)
    for word, value in table.items():
        name = str(word).replace("-", "_")
        if name not in fields:
            raise source.error((*key, word), "unknown key", _known(name, list(fields)))
        if value == fields[name].default and type(value) is type(fields[name].default):
            values[name] = value  # a default may be written out, an empty text too
            continue
        values[name] = read_value(hints[name], value, (*key, word), source, fields[name].metadata.get("read"))
    for name, item in fields.items():
        absent = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if absent and name not in values:
            raise source.error(key, f"lacks the key {name!r}", _known(name, list(fields)))
    return kind(**values)


def read_value(kind: Any, value: Any, key: Key, source: Source, reader: Any = None) -> Any:
    """`value` as `kind`, through `reader` where there is one; raises UsageError with key, value and what is wanted."""
    try:
        return reader(value) if reader else _convert(kind, value, source.path.parent)
    except ValueError as error:
        raise source.error(key, f"{value!r} is not {error}", "correct the value") from None


def _convert(kind: Any, value: Any, folder: Path) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of([item for item in inner if item is not type(None)], value, folder)
    if kind is Any:
        return value
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"one of {', '.join(map(str, inner))}")
        return value
    if origin is tuple:
        return _sequence(inner, value, folder)
    if kind is Path and isinstance(value, str) and value:
        return folder / Path(value).expanduser()
    if kind is bool and isinstance(value, bool):
        return value
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if kind is str and isinstance(value, str) and value:
        return value
    raise ValueError(_WANTED.get(kind, str(kind)))


_WANTED = {
    int: "a whole number, 0 or more",
    float: "a number",
    bool: "true or false",
    str: "a text that is not empty",
    Path: "a path",
}


def _one_of(kinds: list[Any], value: Any, folder: Path) -> Any:
    faults = []
    for kind in kinds:
        try:
            return _convert(kind, value, folder)
        except ValueError as error:
            faults.append(str(error))
    raise ValueError(" or ".join(faults))


def _sequence(inner: tuple[Any, ...], value: Any, folder: Path) -> tuple[Any, ...]:
    many = len(inner) == 2 and inner[1] is Ellipsis
    values = [value] if many and not isinstance(value, list) else value  # one text stands for a list of one
    if not isinstance(values, list) or (not many and len(values) != len(inner)):
        raise ValueError(f"a list of {len(inner)} values")
    kinds = [inner[0]] * len(values) if many else inner
    return tuple(_convert(kind, item, folder) for kind, item in zip(kinds, values, strict=True))


def _known(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return (f"did you mean {close[0]}? " if close and close[0] != name else "") + f"known: {', '.join(names)}"
