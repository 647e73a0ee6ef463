"""`1-5,8,12-`: which pages of a document are meant, and the same the other way."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vitapps.errors import UsageError


def chosen_pages(text: str, total: int) -> list[int]:
    """Indices from 0, sorted, each once, of the pages that `text` names by numbers from 1; all for an empty text.

    `12-` goes on to the end, `-3` starts at the first. Raises UsageError for what is no range or outside `total`.
    """
    if not text.strip():
        return list(range(total))
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d*)\s*(-?)\s*(\d*)\s*", part)
        if not found or not (found[1] or found[3]):
            raise UsageError(f"--pages {text!r}: {part.strip()!r} is no page", hint="such as 1-5,8,12-")
        first = int(found[1] or 1)
        last = int(found[3] or total) if found[2] else first
        if not 1 <= first <= last <= total:
            raise UsageError(f"--pages {text!r}: there are {total} pages", hint="number them from 1, the smaller first")
        chosen.update(range(first - 1, last))
    return sorted(chosen)


def named_pages(numbers: Sequence[int]) -> str:
    """Page numbers in rising order as ranges: `1-5, 8`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)
