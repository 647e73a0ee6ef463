"""Folders of faces by expression, as FER2013 is handed round: `LABEL/*.jpg`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES
from vitapps.errors import UnreadableInputError


def read_expressions(folder: Path, labels: Sequence[str]) -> list[tuple[Path, int]]:
    """Every picture with the number of its label, sorted; UnreadableInputError where a label has none."""
    found = []
    for number, label in enumerate(labels):
        own = folder / label
        pictures = sorted(path for path in own.glob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        if not pictures:
            raise UnreadableInputError(f"{own}: no pictures", hint=f"one folder for each of {', '.join(labels)}")
        found += [(path, number) for path in pictures]
    return found
