"""Compiled networks and engine decisions kept on disk between processes: bounded, checked, safe to share.

One file an entry, named by the hash of everything that its content depends on. A file starts with a mark and the
sha256 of the rest, so a damaged one is noticed, removed and made again; it is written beside its place and renamed, so
a reader in another process sees a whole file or none. The entries used longest ago go when the folder is full.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MARK = b"vitapps2"
_HASH = len(_MARK) + hashlib.sha256().digest_size
_HEAD = 64  # bytes before the content, which in memory then begins where vectors may
CONTENT_AT = _HEAD
_SUFFIX, _UNFINISHED = ".entry", ".part"
_ABANDONED = 3600.0  # seconds after which an unfinished file belongs to a process that died
LIMIT = 2 << 30  # bytes: a dozen networks of ViT-B size


@dataclass(frozen=True, slots=True)
class DiskCache:
    """Entries of one folder, together at most `limit` bytes. Nothing here raises: a cache is never a reason to fail."""

    folder: Path
    limit: int = LIMIT

    def get(self, key: str) -> bytes | None:
        """The content stored under `key`, or None; counts as a use. A damaged entry is removed."""
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        return stored[_HEAD:] if self._used(key, stored) else None

    def mapped(self, key: str) -> mmap.mmap | None:
        """The file of an entry in memory, from `CONTENT_AT` on what `get` returns: nothing is copied, processes share
        the pages. It may be written to, which no file sees. None where `get` has none."""
        try:
            with self._path(key).open("rb") as stream:
                stored = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError:
            return None
        except ValueError:  # an empty file cannot be mapped
            self.remove(key)
            return None
        return stored if self._used(key, stored) else None

    def _used(self, key: str, stored: bytes | mmap.mmap) -> bool:
        """Whether an entry is whole: then it was used now, else it is removed."""
        if not _is_whole(stored):
            self.remove(key)
            return False
        with suppress(OSError):
            os.utime(self._path(key))
        return True

    def put(self, key: str, content: bytes | memoryview) -> None:
        """Store `content`, then drop what was used longest ago until the folder fits; what alone exceeds the limit is
        not stored."""
        if len(content) + _HEAD > self.limit:
            return
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write((_MARK + hashlib.sha256(content).digest()).ljust(_HEAD, b"\0"))
                    stream.write(content)
                os.replace(name, self._path(key))
            finally:
                with suppress(OSError):
                    os.unlink(name)  # there only if the renaming failed
            self._evict()

    def remove(self, key: str) -> None:
        """Forget an entry, if it is there."""
        with suppress(OSError):
            self._path(key).unlink()

    def contents(self) -> Iterator[bytes]:
        """Every whole entry, the one used last first; looking does not count as a use."""
        for _, _, path in sorted(self._entries(), reverse=True):
            with suppress(OSError):
                stored = path.read_bytes()
                if _is_whole(stored):
                    yield stored[_HEAD:]

    def size(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self._entries())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _entries(self) -> list[tuple[float, int, Path]]:
        """Time of last use, bytes and path of each entry; files that vanish meanwhile are left out."""
        found = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):
                state = path.stat()
                found.append((state.st_mtime, state.st_size, path))
        return found

    def _evict(self) -> None:
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries[:-1]:
            if total <= self.limit:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
        for path in self.folder.glob(f"*{_UNFINISHED}"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()


def open_cache(name: str, limit: int = LIMIT) -> DiskCache | None:
    """The cache `name` in the folder of `cache_folder`; None where nothing can be written."""
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return DiskCache(folder, limit) if os.access(folder, os.W_OK | os.X_OK) else None


def cache_folder() -> Path:
    """`VITAPPS_CACHE` where it is set, else the platform's own place for what may be deleted at any time."""
    chosen = os.environ.get("VITAPPS_CACHE")
    if chosen:
        return Path(chosen)
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "vitapps" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "vitapps"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "vitapps"


def entry_key(parts: Mapping[str, object]) -> str:
    """The name of an entry: a hash of everything that its content depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _is_whole(stored: bytes | mmap.mmap) -> bool:
    if len(stored) < _HEAD or stored[: len(_MARK)] != _MARK:
        return False
    with memoryview(stored) as view, view[_HEAD:] as content:  # of the content no copy
        return stored[len(_MARK) : _HASH] == hashlib.sha256(content).digest()
