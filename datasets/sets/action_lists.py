"""Lists of labelled clips in the layouts of the public action sets; nothing is decoded here.

PATH LABEL          one clip a line (MMAction2, VideoMAE); the label is a number or words
Kinetics csv        label,youtube_id,time_start,time_end,split -> LABEL/ID_000010_000020.mp4 or ID_….mp4
Something-Something json  [{"id", "label", "template"}] -> ID.webm or ID.mp4
UCF101 txt          `v_ApplyEyeMakeup_g08_c01.avi [1]` under its class folder; the group is g08
HMDB51 folder       CLASS_test_split1.txt, lines `NAME 0|1|2` (unused, train, test)
manifest tsv        clip,label,source_group,… with LABEL/CLIP.mp4 beside it (Surveillance Camera Fight Dataset)
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError

VIDEO = (".mp4", ".avi", ".webm", ".mkv", ".mov")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledClip:
    """`group`: clips of one group share their source and never stand on both sides of a split (default: the clip)."""

    path: Path
    label: str
    group: str = ""


def read_list(path: Path, root: Path | None = None, *, split: str = "") -> list[LabelledClip]:
    """The clips of a list file (or HMDB51 folder) that are there; `root` of their paths, else the list's folder.

    `split` keeps one part where the layout has them. UnreadableInputError where the list cannot be read or none of its
    clips exists.
    """
    folder = root or (path if path.is_dir() else path.parent)
    try:
        found = list(_rows(path, folder, split))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, csv.Error, json.JSONDecodeError) as error:
        raise UnreadableInputError(f"{path}: not a list of clips: {error}", hint="lines of PATH LABEL") from None
    there = [clip for clip in found if clip.path.is_file()]
    if not there:
        example = f", such as {found[0].path}" if found else ""
        raise UnreadableInputError(f"{path}: none of its {len(found)} clips exists{example}", hint="check the root")
    return there


def _rows(path: Path, folder: Path, split: str) -> Iterator[LabelledClip]:
    if path.is_dir():
        return _hmdb(path, folder, split)
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _something(json.loads(path.read_text(encoding="utf-8")), folder)
    text = path.read_text(encoding="utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip()]
    if suffix == ".tsv":
        return _manifest(list(csv.DictReader(lines, delimiter="\t")), folder)
    if suffix == ".csv" and lines and "youtube_id" in lines[0]:
        return _kinetics(list(csv.DictReader(lines)), folder, split)
    return _plain(lines, folder)


def _plain(lines: Sequence[str], folder: Path) -> Iterator[LabelledClip]:
    for line in lines:
        name, label = _name_and_label(line)
        group = re.search(r"_(g\d+)_c\d+", name)
        source = f"{label}/{group[1]}" if group else name
        yield LabelledClip(path=folder / name, label=label, group=source)


def _name_and_label(line: str) -> tuple[str, str]:
    """UCF101 gives the class by the folder; others end with the label, after a space or comma."""
    line = line.strip()
    parts = re.split(r"[,\t]" if re.search(r"[,\t]", line) else r"\s+", line, maxsplit=1)
    name = parts[0].strip()
    if "/" in name and re.search(r"/v_\w+_g\d+_c\d+\.", name):
        return name, name.split("/")[-2]
    if len(parts) < 2:
        raise KeyError(f"no label in '{line}'")
    return name, parts[1].strip()


def _kinetics(rows: Sequence[dict[str, str]], folder: Path, split: str) -> Iterator[LabelledClip]:
    for row in rows:
        if split and row.get("split") != split:
            continue
        label, name = row["label"], row["youtube_id"]
        cut = f"{name}_{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
        places = [folder / sub / f"{stem}.mp4" for stem in (cut, name) for sub in (label, label.replace(" ", "_"), "")]
        yield LabelledClip(path=_first(places), label=label, group=name)


def _something(rows: Sequence[dict[str, Any]], folder: Path) -> Iterator[LabelledClip]:
    for row in rows:
        label = str(row.get("template", row.get("label"))).replace("[", "").replace("]", "")
        yield LabelledClip(path=_first([folder / f"{row['id']}{suffix}" for suffix in (".webm", ".mp4")]), label=label)


def _hmdb(path: Path, folder: Path, split: str) -> Iterator[LabelledClip]:
    wanted = {"train": ("1",), "test": ("2",)}.get(split, ("1", "2"))
    for table in sorted(path.glob("*_test_split1.txt")):
        label = table.name.removesuffix("_test_split1.txt")
        for line in table.read_text(encoding="utf-8").split("\n"):
            name, _, part = line.strip().rpartition(" ")
            if part in wanted:
                yield LabelledClip(path=_first([folder / label / name, folder / name]), label=label, group=name)


def _manifest(rows: Sequence[dict[str, str]], folder: Path) -> Iterator[LabelledClip]:
    for row in rows:
        path = _first([folder / row["label"] / f"{row['clip']}{suffix}" for suffix in VIDEO])
        yield LabelledClip(path=path, label=row["label"], group=row.get("source_group") or row["clip"])


def _first(places: Sequence[Path]) -> Path:
    """The first that exists, else the first."""
    return next((place for place in places if place.is_file()), places[0])


def group_folds(clips: Sequence[LabelledClip], folds: int) -> list[list[int]]:
    """Indices of each fold: groups stay whole, the largest goes first to the fold with the fewest clips."""
    groups: dict[str, list[int]] = {}
    for index, clip in enumerate(clips):
        groups.setdefault(clip.group or str(clip.path), []).append(index)
    parts: list[list[int]] = [[] for _ in range(folds)]
    for name in sorted(groups, key=lambda key: (-len(groups[key]), key)):
        min(parts, key=len).extend(groups[name])
    return [sorted(part) for part in parts]
