"""Inputs behind a URL, through fsspec: listed by pattern, copied to a temporary file for the time of their turn."""

from __future__ import annotations

import hashlib
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError, VitappsError
from vitapps.pipelines.batch.identity import FileId
from vitapps.require import require


def is_url(key: str) -> bool:
    """`s3://bucket/a.tif`; a local path never holds `://` after normalisation."""
    return "://" in key


def list_urls(pattern: str) -> list[FileId]:
    """Every object that matches, with size and a number for its time or etag. Raises MissingError or Unreadable…"""
    fsspec = require("fsspec", extra="batch")
    try:
        system, path = fsspec.core.url_to_fs(pattern)
        found = sorted(system.glob(path)) if any(letter in path for letter in "*?[") else [path]
        return [_identity(system, path) for path in found if not system.isdir(path)]
    except VitappsError:
        raise
    except ImportError as error:
        raise UnreadableInputError(f"{pattern}: {error}", hint="install the file system that it names") from error
    except Exception as error:  # each file system has errors of its own
        raise UnreadableInputError(f"{pattern}: {error}", hint="check the URL, the network, the credentials") from error


@contextmanager
def local_copy(url: str) -> Iterator[tuple[Path, FileId]]:
    """The object as a temporary local file of the same name, and its identity."""
    fsspec = require("fsspec", extra="batch")
    with tempfile.TemporaryDirectory(prefix="vitapps-batch-") as folder:
        try:
            system, path = fsspec.core.url_to_fs(url)
            before = _identity(system, path)
            local = Path(folder) / posixpath.basename(path)
            system.get_file(path, str(local))
        except FileNotFoundError as error:
            raise UnreadableInputError(f"{url}: is gone", hint="it was there when the job was planned") from error
        except Exception as error:
            raise OSError(f"{url}: {error}") from error  # may pass: it is tried again
        yield local, before


def _identity(system: Any, path: str) -> FileId:
    info = system.info(path)
    stamp = next(
        (info[key] for key in ("ETag", "etag", "mtime", "LastModified", "modified", "created") if key in info), 0
    )
    if isinstance(stamp, datetime):
        number = int(stamp.timestamp() * 1e9)
    elif isinstance(stamp, (int, float)):
        number = int(stamp * 1e9)
    else:
        number = int(hashlib.sha256(str(stamp).encode()).hexdigest()[:15], 16)  # an etag: only sameness counts
    return FileId(system.unstrip_protocol(path), int(info.get("size") or 0), number)
