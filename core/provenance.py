"""The run record: what made an output, written beside it as `<out>.run.json`."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitapps import __version__
from vitapps.atomic import write_text
from vitapps.jsonable import json_text

_RECORDED = (
    "numpy",
    "scipy",
    "openvino",
    "onnxruntime",
    "torch",
    "nibabel",
    "SimpleITK",
    "pydicom",
    "highdicom",
    "rasterio",
    "pyproj",
    "pyogrio",
    "shapely",
    "pillow",
    "opencv-python-headless",
    "av",
    "pypdfium2",
    "pikepdf",
)


@dataclass(kw_only=True, slots=True)
class RunRecord:
    """Everything needed to say how an output came to be. Timings are wall seconds by stage name."""

    command: str
    options: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)  # card name -> sha256
    engine: str = ""
    engine_reason: str = ""
    precision: str = ""
    device: str = ""
    threads: int = 0
    seed: int = 0
    inputs: dict[str, str] = field(default_factory=dict)  # path -> sha256
    timings: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall time of the block to `timings[stage]`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.timings[stage] = round(self.timings.get(stage, 0.0) + time.perf_counter() - start, 4)

    def as_dict(self) -> dict[str, Any]:
        """The record with versions, machine and time of writing, JSON-ready."""
        return {
            "vitapps": __version__,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "versions": versions(),
            **{name: getattr(self, name) for name in self.__slots__},
        }


def record_path(out: Path) -> Path:
    """`seg.nii.gz` -> `seg.nii.gz.run.json`."""
    return out.with_name(f"{out.name}.run.json")


def preview_path(out: Path) -> Path:
    """`seg.nii.gz` -> `seg.nii.gz.preview.png`: where `--preview` draws, for one input as for many."""
    return out.with_name(f"{out.name}.preview.png")


def write_run_record(out: Path, record: RunRecord) -> Path:
    """Write the record beside `out`; an older record of the same output is replaced."""
    path = record_path(out)
    write_text(path, json_text(record.as_dict()), overwrite=True)
    return path


def versions() -> dict[str, str]:
    """Installed versions of what can change a result; reads metadata, imports nothing."""
    found = {}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, or of all files below a folder in sorted order (a DICOM series)."""
    return sha256_files([path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file()))


def sha256_files(paths: Iterable[Path]) -> str:
    """Hex sha256 of the content of files, one after another."""
    digest = hashlib.sha256()
    for part in paths:
        with part.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
