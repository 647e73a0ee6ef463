"""On which line of a TOML file a key stands: `tomllib` reads values but keeps no positions."""

from __future__ import annotations

import re

Key = tuple[str | int, ...]
_WORD = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
_DOTTED = rf"{_WORD}(?:\s*\.\s*{_WORD})*"
_ARRAY_TABLE = re.compile(rf"\s*\[\[\s*({_DOTTED})\s*\]\]")
_TABLE = re.compile(rf"\s*\[\s*({_DOTTED})\s*\]")
_ENTRY = re.compile(rf"\s*({_DOTTED})\s*=")
_STRINGS = re.compile(r'"""|\'\'\'|"(?:[^"\\]|\\.)*"|\'[^\']*\'|#.*')


def key_lines(text: str) -> dict[Key, int]:
    """Line from 1 of every table and key of valid TOML; `("step", 1, "task")` is `task` in the second `[[step]]`.

    Keys of inline tables are not listed: `line_of` answers with the line of what holds them.
    """
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    inside, depth = "", 0  # within a multi-line string; brackets open in a value
    for number, line in enumerate(text.splitlines(), 1):
        if not inside and depth == 0:
            if found := _ARRAY_TABLE.match(line):
                plain = _resolve(_split(found[1]), counts)
                counts[plain] = counts.get(plain, -1) + 1
                table = (*plain, counts[plain])
                lines.setdefault(table, number)
                continue
            if found := _TABLE.match(line):
                table = _resolve(_split(found[1]), counts, last=True)
                lines.setdefault(table, number)
                continue
            if found := _ENTRY.match(line):
                lines.setdefault((*table, *_split(found[1])), number)
        inside, depth = _after(line, inside, depth)
    return lines


def line_of(lines: dict[Key, int], key: Key) -> int:
    """The line of `key`, or of the nearest table or value around it; 1 when there is none."""
    while key:
        if key in lines:
            return lines[key]
        key = key[:-1]
    return 1


def _split(dotted: str) -> Key:
    return tuple(word.strip("\"'") for word in re.findall(_WORD, dotted))


def _resolve(key: Key, counts: dict[Key, int], *, last: bool = False) -> Key:
    """Put the index of the current element after every name of an array of tables (the last name only if `last`)."""
    found: Key = ()
    for index, word in enumerate(key):
        found = (*found, word)
        if found in counts and (last or index < len(key) - 1):
            found = (*found, counts[found])
    return found


def _after(line: str, inside: str, depth: int) -> tuple[str, int]:
    """Open string delimiter and bracket depth at the end of `line`."""
    rest = line
    while rest:
        if inside:
            _, closed, rest = rest.partition(inside)
            inside = "" if closed else inside
            continue
        found = _STRINGS.search(rest)
        plain = rest[: found.start()] if found else rest
        depth += sum((letter in "[{") - (letter in "]}") for letter in plain)
        rest = rest[found.end() :] if found else ""
        if found and found[0] in ('"""', "'''"):
            inside = found[0]
    return inside, depth
