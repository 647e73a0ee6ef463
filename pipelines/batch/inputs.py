"""Which inputs a step has: globs, a list file, URLs, a watched folder; filters. Sorted, absolute, each once."""

from __future__ import annotations

import fnmatch
import glob
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vitapps.errors import UnreadableInputError, VitappsError
from vitapps.pipelines.batch.identity import FileId, stat_of
from vitapps.pipelines.batch.job import Filters, Inputs
from vitapps.pipelines.batch.quantities import moment
from vitapps.pipelines.batch.remote import is_url, list_urls
from vitapps.pipelines.batch.task import Task

_WILD = "*?["


@dataclass(frozen=True, slots=True)
class Candidate:
    """One input. `parent` is its folder relative to the base of its source, for `{parent}` of the layout.

    The size of `source` is -1 where a list names a file that is not there.
    """

    key: str
    source: FileId
    parent: str


def list_inputs(inputs: Inputs, filters: Filters, task: type[Task], folder: Path) -> tuple[list[Candidate], int]:
    """Candidates of all sources but `watch`, and how many the filters refused; patterns are relative to `folder`."""
    found: dict[str, Candidate] = {}
    for candidate in _sources(inputs, task, folder):
        found.setdefault(candidate.key, candidate)
    accept = Sieve(filters, task)
    kept = [found[key] for key in sorted(found) if accept(found[key])]
    return kept, len(found) - len(kept)


class Sieve:
    """The filters of a step as one question. Ages count from the moment it is made."""

    def __init__(self, filters: Filters, task: type[Task]) -> None:
        now = time.time()
        self._filters, self._task = filters, task
        self._newer = None if filters.newer_than is None else moment(filters.newer_than, now) * 1e9
        self._older = None if filters.older_than is None else moment(filters.older_than, now) * 1e9

    def __call__(self, candidate: Candidate) -> bool:
        source, filters = candidate.source, self._filters
        if source.size < 0:
            return True  # a listed file that is not there must fail, not disappear
        return (
            (self._newer is None or source.mtime_ns > self._newer)
            and (self._older is None or source.mtime_ns < self._older)
            and source.size >= (filters.min_size or 0)
            and (filters.max_size is None or source.size <= filters.max_size)
            and not any(fnmatch.fnmatch(candidate.key, f"*{pattern}") for pattern in filters.exclude)
            and (not filters.modality or self._modality(candidate.key) in filters.modality)
        )

    def _modality(self, key: str) -> str | None:
        try:
            return self._task.modality(Path(key))
        except (VitappsError, OSError) as error:
            if isinstance(error, VitappsError) and not isinstance(error, UnreadableInputError):
                raise
            return None


class Watch:
    """A folder whose files count once they have stopped changing."""

    def __init__(self, inputs: Inputs, task: type[Task]) -> None:
        self._inputs, self._task = inputs, task
        self._seen: dict[str, tuple[FileId, float]] = {}  # with the monotonic time since when it is so
        self._given: dict[str, FileId] = {}

    def settled(self) -> list[Candidate]:
        """Files that are new or changed since they were last given, and quiet for `settle` seconds."""
        assert self._inputs.watch is not None
        now, found = time.monotonic(), []
        for candidate in _files([str(self._inputs.watch / self._inputs.pattern)], self._inputs, self._task, Path("/")):
            before = self._seen.get(candidate.key)
            if before is None or not before[0].same_stat(candidate.source):
                self._seen[candidate.key] = before = (candidate.source, now)
            given = self._given.get(candidate.key)
            if now - before[1] >= self._inputs.settle and not (given and given.same_stat(candidate.source)):
                self._given[candidate.key] = candidate.source
                found.append(candidate)
        return found


def _sources(inputs: Inputs, task: type[Task], folder: Path) -> Iterator[Candidate]:
    yield from _files(list(inputs.glob), inputs, task, folder)
    if inputs.list_file is not None:
        yield from _listed(inputs.list_file, inputs.base)
    for pattern in inputs.url:
        root = pattern[: min((pattern.index(c) for c in _WILD if c in pattern), default=len(pattern))].rpartition("/")[
            0
        ]
        for source in list_urls(pattern):
            parent = source.path.rpartition("/")[0].removeprefix(root).strip("/")
            yield Candidate(source.path, source, parent)


def _files(patterns: list[str], inputs: Inputs, task: type[Task], folder: Path) -> Iterator[Candidate]:
    for pattern in patterns:
        whole = os.path.join(folder, os.path.expanduser(pattern))
        fixed = whole[: min((whole.index(c) for c in _WILD if c in whole), default=len(whole))]
        base = str(inputs.base) if inputs.base else os.path.dirname(fixed)
        for name in glob.iglob(whole, recursive=True):
            path = Path(os.path.abspath(name))
            if path.is_dir() and not task.takes_folders:
                continue
            try:
                yield Candidate(str(path), stat_of(path), _parent(path, base))
            except OSError:
                continue  # went away between listing and looking


def _listed(list_file: Path, base: Path | None) -> Iterator[Candidate]:
    try:
        lines = os.fsdecode(list_file.read_bytes()).splitlines()
    except OSError as error:
        raise UnreadableInputError(
            f"{list_file}: {error.strerror}", hint="inputs.list_file: one path a line"
        ) from error
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        if is_url(line):
            for source in list_urls(line.strip()):
                yield Candidate(source.path, source, "")
            continue
        path = Path(os.path.abspath(list_file.parent / line))
        try:
            source = stat_of(path)
        except OSError:
            source = FileId(str(path), -1, -1)
        yield Candidate(str(path), source, _parent(path, str(base)) if base else "")


def _parent(path: Path, base: str) -> str:
    relative = os.path.relpath(path.parent, base or "/")
    return "" if relative == "." or relative.startswith("..") else relative
