"""Outputs appear whole or not at all: temporary file beside the target, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vitapps.errors import OutputError

_WRITING_FAILED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_SPACE = "check free disk space and rights, or give an -o elsewhere"


def check_output(path: Path, *, overwrite: bool, sources: Sequence[Path] = ()) -> None:
    """Refuse early, before minutes of work: raises OutputError when `path` cannot become a new file.

    That is: it exists (without `overwrite`), it is a folder or a device, its folder is missing or not writable, or it
    is one of the inputs `sources` or lies in one that is a folder, which `overwrite` does not allow either.
    """
    try:
        _refuse_existing(path, overwrite=overwrite, sources=sources)
        folder_exists = path.parent.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise _output_error(path, error) from error
    if not folder_exists:
        raise OutputError(f"{path.parent}: no such folder for the output", hint=f"mkdir -p '{path.parent}'")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path.parent}: not writable", hint="give an -o in a folder that you may write to")


@contextmanager
def atomic_path(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path with the name of `path` in a private folder beside it; on success it becomes `path`.

    On any exception, Ctrl-C included, nothing is left and an existing `path` is untouched. Writers that make several
    files (a Shapefile) may leave companions in the folder: they are moved beside `path`, the named file last.
    A full disk becomes OutputError; other errors of the block pass as they are.
    """
    check_output(path, overwrite=overwrite)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".vitapps-{os.getpid()}-", dir=path.parent))
    except OSError as error:
        raise _output_error(path, error) from error
    try:
        temporary = folder / path.name
        yield temporary
        _move_all(folder, path, overwrite=overwrite)
    except OSError as error:
        if error.errno in _WRITING_FAILED or _concerns(error, folder):
            raise _output_error(path, error) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: Path, text: str, *, overwrite: bool = False) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _refuse_existing(path: Path, *, overwrite: bool, sources: Sequence[Path]) -> None:
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, a file is to be written there", hint="give a file name with -o")
    if not os.path.lexists(path):  # a link that leads nowhere is something that exists
        return
    for source in sources:
        if _is_input(path, source):
            place = f"lies in the input {source}" if source.is_dir() else f"is the input {source} itself"
            raise OutputError(f"{path}: {place}, which is never replaced", hint="give another -o")
    if not overwrite:
        raise OutputError(f"{path}: exists already", hint="give another -o, or --overwrite")
    if not path.is_file():
        raise OutputError(f"{path}: is a device or a pipe, it cannot be replaced", hint="give another -o")


def _is_input(path: Path, source: Path) -> bool:
    """By the file system's own word: links of both kinds and other spellings of a name count."""
    try:
        if source.is_dir():
            return source.resolve() in path.resolve().parents
        return path.exists() and source.exists() and path.samefile(source)
    except OSError:  # a name that no file can have: its reader says so
        return False


def _move_all(folder: Path, path: Path, *, overwrite: bool) -> None:
    named = folder / path.name
    if not named.exists():
        raise OutputError(f"{path}: the writer made no file", hint=_SPACE)
    made = sorted(folder.iterdir(), key=lambda item: item == named)  # the named file last
    for item in made:
        target = path.parent / item.name
        if item != named and target.exists() and not overwrite:
            raise OutputError(f"{target}: exists already", hint="give another -o, or --overwrite")
        _sync(item)
    for item in made:
        os.replace(item, path.parent / item.name)
    with suppress(OSError):  # some network file systems cannot sync a folder; the files themselves are safe
        _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _concerns(error: OSError, folder: Path) -> bool:
    return isinstance(error.filename, str) and error.filename.startswith(str(folder))


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: {error.strerror or error}", hint=_SPACE)
