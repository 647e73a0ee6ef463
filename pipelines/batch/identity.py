"""What an input and an output are: size, time of the last change, content. Times are compared for being the same, never
for order, so that a clock that was set back cannot hide a change."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitapps.jsonable import json_ready
from vitapps.options import NO_REDUCTION
from vitapps.provenance import sha256_file

_SMALL = 1 << 20


@dataclass(frozen=True, slots=True)
class FileId:
    """A file or a folder of files. `sha256` is empty until the content has been read."""

    path: str
    size: int
    mtime_ns: int
    sha256: str = ""

    def same_stat(self, other: FileId) -> bool:
        """Size and time are those of `other`."""
        return (self.size, self.mtime_ns) == (other.size, other.mtime_ns)


def stat_of(path: Path) -> FileId:
    """Size and mtime of a file; of a folder the sum of sizes and the latest mtime below it. Raises OSError."""
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        return FileId(str(path), found.st_size, found.st_mtime_ns)
    parts = [part.stat() for part in path.rglob("*") if part.is_file()]
    return FileId(str(path), sum(p.st_size for p in parts), max((p.st_mtime_ns for p in parts), default=0))


def read_of(path: Path) -> FileId:
    """`stat_of` with the content's sha256. Raises OSError."""
    found = stat_of(path)
    if path.is_dir() or found.size > _SMALL:
        return FileId(found.path, found.size, found.mtime_ns, sha256_file(path))
    return FileId(found.path, found.size, found.mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())


def is_unchanged(recorded: FileId, *, content: bool = False) -> bool:
    """Whether the file at `recorded.path` is what was recorded: by its stat, else (or with `content`) by its bytes."""
    path = Path(recorded.path)
    try:
        now = stat_of(path)
        if now.size != recorded.size:
            return False
        if not content and now.mtime_ns == recorded.mtime_ns:
            return True
        return sha256_file(path) == recorded.sha256
    except OSError:
        return False


def options_hash(task: str, settings: Any, options: Any, layout: str) -> str:
    """Short hash of all that changes an output, apart from its input and the weights."""
    shared = asdict(options)
    for name in ("threads", "overwrite"):
        shared.pop(name)
    if shared["reduce"] == NO_REDUCTION:  # journals of releases without it stay valid
        del shared["reduce"]
    text = json.dumps(json_ready([task, settings, shared, layout]), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def weights_hash(weights: dict[str, str]) -> str:
    """One text for the weights of a task: `name:sha256` of each."""
    return " ".join(f"{name}:{digest}" for name, digest in sorted(weights.items()))


def pack(files: Sequence[FileId]) -> str:
    """For the journal."""
    return json.dumps([(item.path, item.size, item.mtime_ns, item.sha256) for item in files])


def unpack(text: str) -> tuple[FileId, ...]:
    return tuple(FileId(*item) for item in json.loads(text or "[]"))


def remove_leftovers(folders: set[str], owners: set[int]) -> int:
    """Delete the temporary folders `.vitapps-<pid>-*` that killed workers left in `folders`; how many there were.

    Only those of `owners`, workers of earlier runs of this job on this machine: other programs' are none of ours.
    """
    import shutil

    removed = 0
    for folder in folders:
        for left in Path(folder).glob(".vitapps-*-*"):
            words = left.name.split("-")
            if len(words) > 2 and words[1].isdigit() and int(words[1]) in owners and int(words[1]) != os.getpid():
                shutil.rmtree(left, ignore_errors=True)
                removed += 1
    return removed
