"""Which scans a command line means: a folder of scan files stands for each of them, a folder of DICOM for itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitapps.datasets.formats.volume import ITK, MGH, NIFTI, volume_stem

_OTHER_HALVES = (".img", ".img.gz", ".raw", ".zraw")  # their headers name them
_MADE_HERE = "_seg"


def scans_in(paths: Sequence[Path]) -> list[Path]:
    """`paths` with every folder that holds NIfTI, NRRD, MHA or MGZ files replaced by those, sorted by name.

    Results of an earlier run, `<scan>_seg` and the like, are left out of a folder; named by themselves they count.
    """
    found: list[Path] = []
    for path in paths:
        found += _inside(path) or [path]
    return found


def _inside(path: Path) -> list[Path]:
    try:
        return sorted(item for item in path.iterdir() if _is_scan(item)) if path.is_dir() else []
    except OSError:  # a name that no file can have, a folder that may not be read: the reader says so
        return []


def _is_scan(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith(".") or not name.endswith((*NIFTI, *ITK, *MGH)) or name.endswith(_OTHER_HALVES):
        return False
    return not volume_stem(path).endswith(_MADE_HERE) and path.is_file()
