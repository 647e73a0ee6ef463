"""Bad inputs, made on demand: what users really hand to a program, and what an attacker would.

`BAD_FILES` maps a name to a `BadFile`; `make(folder)` writes it and returns the path to give to a command. Each family
has its own module; importing this one collects them all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

UNREADABLE = (3,)


@dataclass(frozen=True, kw_only=True)
class BadFile:
    """A generator and the exit codes that are right for it, by domain: 3 unless `codes` says otherwise.

    `named` is text that the error message must hold, the file's own name by default.
    """

    make: Callable[[Path], Path]
    codes: dict[str, Sequence[int]] = field(default_factory=dict)
    named: str = ""

    def expected(self, domain: str) -> Sequence[int]:
        return self.codes.get(domain, UNREADABLE)


BAD_FILES: dict[str, BadFile] = {}


def bad(name: str, *, named: str = "", **codes: Sequence[int]) -> Callable[[Callable[[Path], Path]], BadFile]:
    """Register a generator under `name`."""

    def register(make: Callable[[Path], Path]) -> BadFile:
        assert name not in BAD_FILES
        BAD_FILES[name] = BadFile(make=make, codes=codes, named=named)
        return BAD_FILES[name]

    return register


def write(folder: Path, name: str | Path, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def noise(size: int) -> bytes:
    return np.random.default_rng(0).bytes(size)


for _suffix in (".nii", ".nii.gz", ".nrrd", ".mha", ".dcm", ".tif", ".png"):
    bad(f"missing{_suffix}")(lambda folder, end=_suffix: folder / f"absent{end}")
    bad(f"empty{_suffix}")(lambda folder, end=_suffix: write(folder, f"empty{end}", b""))
    bad(f"one-byte{_suffix}")(lambda folder, end=_suffix: write(folder, f"one{end}", b"\0"))
    bad(f"text{_suffix}")(lambda folder, end=_suffix: write(folder, f"notes{end}", b"dear radiologist\n" * 50))
    bad(f"noise{_suffix}")(lambda folder, end=_suffix: write(folder, f"noise{end}", noise(10_000)))


@bad("unknown suffix")
def _unknown(folder: Path) -> Path:
    return write(folder, "report.docx", b"PK\3\4" + noise(500))


@bad("no suffix")
def _bare(folder: Path) -> Path:
    return write(folder, "scan", noise(500))


@bad("empty folder")
def _empty_folder(folder: Path) -> Path:
    path = folder / "series"
    path.mkdir()
    return path


@bad("folder of other files")
def _other_folder(folder: Path) -> Path:
    path = _empty_folder.make(folder)
    write(path, "readme.txt", b"no pictures here")
    write(path, "thumbs.db", noise(2_000))
    return path


@bad("folder named like a file")
def _folder_as_file(folder: Path) -> Path:
    path = folder / "tile.tif"
    path.mkdir()
    return path


@bad("named pipe")
def _pipe(folder: Path) -> Path:
    path = folder / "pipe.nii"
    os.mkfifo(path)
    return path


@bad("named pipe raster")
def _raster_pipe(folder: Path) -> Path:
    path = folder / "pipe.tif"
    os.mkfifo(path)
    return path


@bad("null device", named="/dev/null")
def _null(folder: Path) -> Path:
    return Path("/dev/null")


@bad("endless device", named="/dev/zero")
def _zero(folder: Path) -> Path:
    return Path("/dev/zero")


@bad("link to nowhere")
def _dangling(folder: Path) -> Path:
    path = folder / "link.nii.gz"
    path.symlink_to(folder / "gone.nii.gz")
    return path


@bad("link to itself")
def _loop(folder: Path) -> Path:
    path = folder / "loop.tif"
    path.symlink_to(path)
    return path


@bad("a file as a folder", named="file.nii")
def _inside_a_file(folder: Path) -> Path:
    return write(folder, "file.nii", noise(400)) / "scan.nii"


@bad("a name that is too long", named="long")
def _long(folder: Path) -> Path:
    return folder / ("long" * 100 + ".tif")


@bad("a name with a newline", named="two\\nlines.nii")
def _newline(folder: Path) -> Path:
    return write(folder, "two\nlines.nii", b"text")


@bad("a name that is not UTF-8", named="caf\\xe9.tif")
def _not_utf8(folder: Path) -> Path:
    return write(folder, os.fsdecode(b"caf\xe9.tif"), b"text")


@bad("a missing name that is not UTF-8", named="caf\\xe9.nii")
def _missing_not_utf8(folder: Path) -> Path:
    return folder / os.fsdecode(b"caf\xe9.nii")


@bad("an address", named="http")
def _address(folder: Path) -> Path:
    return Path("http://127.0.0.1:9/tile.tif")


@bad("a virtual address", named="vsicurl")
def _virtual_address(folder: Path) -> Path:
    return Path("/vsicurl/http://127.0.0.1:9/tile.tif")


from fakes import bad_dicom, bad_rasters, bad_volumes  # noqa: E402, F401  they register themselves
