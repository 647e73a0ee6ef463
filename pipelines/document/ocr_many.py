"""Many documents, one loaded reader: each input has its own output, and a bad one does not stop the others."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vitapps.errors import UsageError, VitappsError
from vitapps.options import RunOptions
from vitapps.pipelines.document.formats import OcrFormat
from vitapps.pipelines.document.ocr import OcrResult, OcrSettings, check_ocr, extension, ocr
from vitapps.pipelines.document.page_cache import ReadPages, page_cache
from vitapps.pipelines.document.page_source import STANDARD_INPUT, files_below, is_folder
from vitapps.pipelines.document.read_page import PageReader, ReadSettings
from vitapps.progress import Progress, null_progress

_LOGGER = logging.getLogger("vitapps.document")


@dataclass(frozen=True, kw_only=True, slots=True)
class OcrBatch:
    """What each input came to, in the order given; `failed` with the error of each."""

    done: list[OcrResult]
    failed: list[tuple[Path, VitappsError]]


def ocr_many(
    paths: Sequence[Path],
    out: Path | None = None,
    *,
    weights: str | None = None,
    cached: bool = True,
    options: RunOptions | None = None,
    settings: OcrSettings | None = None,
    progress: Progress = null_progress,
    command: str = "",
) -> OcrBatch:
    """Read each document; a folder stands for the pictures and PDFs in it. `out` is a file (one input), a folder (a
    name without suffix, made if need be) or None: text comes back. The error of a single input is raised, those of
    several are collected."""
    settings, options = settings or OcrSettings(), options or RunOptions()
    jobs = _jobs(paths, out, settings)
    reader = reader_of(weights, options, cached=cached, settings=settings)
    if len(jobs) == 1 and not is_folder(paths[0]):
        path, target = jobs[0]
        if out is not None and target is not None and target.parent == out:
            out.mkdir(parents=True, exist_ok=True)
        only = ocr(path, target, reader, settings, options=options, progress=progress, command=command)
        return OcrBatch(done=[only], failed=[])
    if settings.sidecar:
        raise UsageError("--sidecar: one file for several inputs", hint="--format txt into another folder")
    done, failed = [], []
    with progress.task("documents", total=len(jobs)) as task:
        for path, target in jobs:
            try:
                if target is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                done.append(ocr(path, target, reader, settings, options=options, progress=progress, command=command))
            except VitappsError as error:
                _LOGGER.error("%s", error)
                failed.append((path, error))
            task.advance()
    return OcrBatch(done=done, failed=failed)


def reader_of(weights: str | None, options: RunOptions, *, cached: bool, settings: OcrSettings) -> ReadPages:
    """What reads the pages: the networks are loaded when the first page needs them."""
    return ReadPages(
        load=partial(PageReader.load, weights, options),
        settings=ReadSettings(dpi=settings.dpi, detector=settings.detector),
        cache=page_cache() if cached else None,
    )


def default_output(path: Path, folder: Path, form: OcrFormat) -> Path:
    """`scan.png` -> `scan.txt` in `folder`; `scan.pdf` -> `scan_ocr.pdf` as PDF."""
    stem = "stdin" if path == STANDARD_INPUT else path.stem
    return folder / f"{stem}{'_ocr' if form == 'pdf' else ''}{extension(form)}"


def _jobs(paths: Sequence[Path], out: Path | None, settings: OcrSettings) -> list[tuple[Path, Path | None]]:
    """Inputs with their outputs; raises UsageError when two would be the same file."""
    files = [(item, path) for path in paths for item in (files_below(path) if is_folder(path) else [path])]
    several = len(files) > 1 or any(is_folder(path) for path in paths)
    if out is None:
        check_ocr(files[0][0], None, settings, overwrite=False, sources=paths)
        return [(item, None) for item, _ in files]
    if not several and not out.is_dir() and (out.suffix or out.exists()):
        return [(files[0][0], out)]
    form = settings.format or "txt"
    if out.suffix and not out.is_dir():
        raise UsageError(f"-o {out}: one file for {len(files)} inputs", hint="give a folder with -o, and --format")
    targets = [
        default_output(item, out / item.parent.relative_to(path) if is_folder(path) else out, form)
        for item, path in files
    ]
    twice = [path for path, number in Counter(targets).items() if number > 1]
    if twice:
        raise UsageError(f"two inputs would both write {twice[0]}", hint="run them one by one with different -o")
    return [(item, target) for (item, _), target in zip(files, targets, strict=True)]
