"""Face indexes: templates of enrolled faces in one SQLite file, encrypted if a key is given; deleting really deletes.

Tables: `about(key, value)` and `faces(id, payload)`; a payload is JSON (name, file, box, base64 of the float16
template), or with a key its AES-256-GCM ciphertext (12-byte nonce, then data and tag; the id is authenticated as well,
so that rows cannot be swapped). SQLite's `secure_delete` overwrites what is deleted, and the file is rebuilt after it.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path
from vitapps.errors import MissingError, OutputError, UnreadableInputError, UsageError
from vitapps.require import require

FORMAT = "vitapps face index 1"
_KEY_BYTES = 32
_HINT = "make one with `vitapps face index DIR -o INDEX`"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One enrolled face: `template` d, of length 1; `box` x0 y0 x1 y1 in pixels of `file`; `id` 0: not stored yet."""

    name: str
    file: str
    box: tuple[float, ...]
    template: NDArray[np.float32]
    id: int = 0


def read_key(path: Path, *, make: bool = False) -> bytes:
    """32 bytes from a key file (base64 text); with `make` a file that is not there is created, readable by its owner.

    Raises MissingError where there is none, UsageError for a file that is no key.
    """
    if not path.exists():
        if not make:
            raise MissingError(f"{path}: no such key file", hint="give the key that the index was made with")
        return _new_key(path)
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a key file: {error}", hint="32 bytes as base64") from None
    if len(key) != _KEY_BYTES:
        raise UsageError(f"{path}: holds {len(key)} bytes, not {_KEY_BYTES}", hint="give the key file of the index")
    return key


def write_index(
    path: Path, entries: Iterable[Entry], *, model: str, dim: int, key: bytes | None = None, overwrite: bool = False
) -> int:
    """Write a new index atomically and return the number of faces; `model`: name and digest that made the templates."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        with closing(sqlite3.connect(temporary)) as base:
            base.execute("CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT)")
            base.execute("CREATE TABLE faces (id INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB)")
            facts = {"format": FORMAT, "model": model, "dim": str(dim), "encrypted": str(int(key is not None))}
            base.executemany("INSERT INTO about VALUES (?, ?)", facts.items())
            number = 0
            for number, entry in enumerate(entries, 1):
                base.execute("INSERT INTO faces VALUES (?, ?)", (number, _sealed(number, entry, key)))
            base.commit()
        os.chmod(temporary, 0o600)
    return number


class FaceIndex:
    """An index that is open for reading or deleting: `with open_index(path, key) as index`."""

    def __init__(self, path: Path, base: sqlite3.Connection, key: bytes | None) -> None:
        self.path, self._base, self._key = path, base, key
        facts = dict(base.execute("SELECT key, value FROM about").fetchall())
        if facts.get("format") != FORMAT:
            raise UnreadableInputError(f"{path}: not a face index of this version", hint=_HINT)
        self.model, self.dim, self.encrypted = facts["model"], int(facts["dim"]), facts["encrypted"] == "1"
        if self.encrypted != (key is not None):
            state, hint = ("is", "give --key FILE") if self.encrypted else ("is not", "leave --key out")
            raise UsageError(f"{path}: {state} encrypted", hint=hint)

    def __len__(self) -> int:
        return int(self._base.execute("SELECT count(*) FROM faces").fetchone()[0])

    def entries(self) -> Iterator[Entry]:
        """Every face in order of its id; raises UsageError for another key."""
        for number, payload in self._base.execute("SELECT id, payload FROM faces ORDER BY id"):
            yield self._opened(int(number), payload)

    def forget(self, *, name: str | None = None, number: int | None = None) -> list[Entry]:
        """Delete the faces of a name, or the one of an id; returns what was deleted (possibly nothing)."""
        gone = [entry for entry in self.entries() if entry.name == name or entry.id == number]
        with _writing(self.path):
            self._base.execute("PRAGMA secure_delete = ON")
            self._base.execute("PRAGMA journal_mode = MEMORY")  # a journal on disk would hold what is deleted
            self._base.executemany("DELETE FROM faces WHERE id = ?", [(entry.id,) for entry in gone])
            self._base.commit()
            self._base.execute("VACUUM")
        return gone

    def _opened(self, number: int, payload: bytes) -> Entry:
        try:
            text = payload if self._key is None else _cipher(self._key).decrypt(payload[:12], payload[12:], _id(number))
        except Exception as error:  # cryptography's InvalidTag, and what a damaged row gives
            if type(error).__name__ != "InvalidTag":
                raise
            raise UsageError(f"{self.path}: the key is another one, or face {number} was changed",
                             hint="give the key that the index was made with") from None  # fmt: skip
        return _entry(number, text, self.dim, self.path)


@contextmanager
def open_index(path: Path, key: bytes | None = None) -> Iterator[FaceIndex]:
    """Open an index; raises UnreadableInputError for another file, UsageError where key and file do not match."""
    if not path.is_file():
        raise UnreadableInputError(f"{path}: no such index", hint=_HINT)
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as base:
        try:
            yield FaceIndex(path, base, key)
        except (sqlite3.DatabaseError, KeyError, json.JSONDecodeError) as error:
            raise UnreadableInputError(f"{path}: not a face index, or damaged: {error}", hint=_HINT) from None


def _sealed(number: int, entry: Entry, key: bytes | None) -> bytes:
    template = base64.b64encode(entry.template.astype(np.float16).tobytes()).decode("ascii")
    facts = {"name": entry.name, "file": entry.file, "box": list(entry.box), "template": template}
    text = json.dumps(facts).encode()
    if key is None:
        return text
    nonce = os.urandom(12)
    return nonce + bytes(_cipher(key).encrypt(nonce, text, _id(number)))


def _entry(number: int, text: bytes, dim: int, path: Path) -> Entry:
    facts: dict[str, Any] = json.loads(text)
    template = np.frombuffer(base64.b64decode(facts["template"]), np.float16).astype(np.float32)
    if len(template) != dim:
        raise UnreadableInputError(f"{path}: face {number} has {len(template)} values, not {dim}", hint=_HINT)
    return Entry(
        id=number, name=facts["name"], file=facts["file"], box=tuple(facts["box"]), template=template
    )  # fmt: skip


def _cipher(key: bytes) -> Any:
    return require("cryptography.hazmat.primitives.ciphers.aead", extra="face", package="cryptography").AESGCM(key)


def _id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _new_key(path: Path) -> bytes:
    key = os.urandom(_KEY_BYTES)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}", hint="give a --key in a folder that you may write to") from None
    with os.fdopen(handle, "wb") as stream:
        stream.write(base64.b64encode(key) + b"\n")
    return key


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutputError(f"{path}: {error}", hint="is the index write-protected, or in use?") from None
