"""`vitapps face detect`: the faces of pictures as JSON, with a preview and aligned crops if wanted."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.picture import Picture, read_picture
from vitapps.datasets.sets.presentation_attacks import pictures_of
from vitapps.errors import OutputError, UsageError, VitappsError
from vitapps.jsonable import json_text
from vitapps.options import RunOptions
from vitapps.pipelines.face.align import align
from vitapps.pipelines.face.faces import Face, Pixels
from vitapps.pipelines.face.find_faces import FaceFinder, FindSettings
from vitapps.pipelines.face.preview import draw_faces
from vitapps.pipelines.face.turned_faces import find_turned
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.progress import Progress, null_progress
from vitapps.provenance import RunRecord, preview_path, sha256_file, write_run_record

log = logging.getLogger("vitapps.face")


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectChoices:
    """`find`: what counts as a face; `turned`: on its side and upside down as well, `tilted`: by about 25 to 55
    degrees as well. `preview` draws beside the output; `crops`: a folder for aligned crops of `crop_size` pixels."""

    find: FindSettings = field(default_factory=FindSettings)
    turned: bool = False
    tilted: bool = False
    preview: bool = False
    crops: Path | None = None
    crop_size: int = 112

    def __post_init__(self) -> None:
        if not 16 <= self.crop_size <= 1024:
            raise UsageError(f"--crop-size {self.crop_size}: outside 16 to 1024", hint="112 and 224 are usual")


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectResult:
    """Faces of one picture; `width`, `height` of the upright picture; `out` None: nothing but crops was written."""

    input: Path
    out: Path | None
    preview: Path | None
    width: int
    height: int
    exif_rotated: bool
    faces: tuple[Face, ...]
    crops: tuple[Path, ...]
    timings: dict[str, float]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `-o` holds and `--json` prints."""
        return {
            "input": self.input,
            "width": self.width,
            "height": self.height,
            "exif_rotated": self.exif_rotated,
            "faces": [face.to_json() for face in self.faces],
            "preview": self.preview,
            "crops": list(self.crops),
            "timings": self.timings,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture without an answer, and why."""

    input: Path
    error: VitappsError


@dataclass(frozen=True, slots=True)
class DetectBatch:
    """What each picture came to, in the order given."""

    done: list[DetectResult]
    failed: list[Failure]


def detect(
    path: Path,
    out: Path | None,
    finder: FaceFinder,
    choices: DetectChoices | None = None,
    *,
    options: RunOptions | None = None,
    stem: str = "",
    sources: Sequence[Path] = (),
    command: str = "",
) -> DetectResult:
    """Find the faces of one picture; no face is an answer, not an error. `stem`: what its crops are called by, else the
    file's own; `sources`: inputs that nothing may replace.

    Raises UnreadableInputError or OutputError; then nothing is left and older outputs are untouched.
    """
    choices, options = choices or DetectChoices(), options or RunOptions()
    _check(path, out, choices, options, sources)
    record = new_record(finder.networks, options=options, settings=_words(choices), command=command, inputs=[])
    with record.timed("read"):
        picture = read_picture(path)
    with record.timed("find"):
        find = partial(find_turned, finder, quarters=choices.turned, tilted=choices.tilted)
        faces = (find if choices.turned or choices.tilted else finder.find)(picture.pixels, choices.find)
    record.warnings += _warnings(picture, faces)
    with record.timed("write"):
        crops = _write_crops(stem or path.stem, picture.pixels, faces, choices, overwrite=options.overwrite)
    result = DetectResult(
        input=path, out=out, preview=preview_path(out) if out and choices.preview else None,
        width=picture.pixels.shape[1], height=picture.pixels.shape[0], exif_rotated=picture.exif_rotated,
        faces=faces, crops=crops, timings=record.timings, warnings=tuple(record.warnings),
    )  # fmt: skip
    if out is not None:
        _write(out, result, picture.pixels, record, overwrite=options.overwrite)
    return result


def detect_many(
    paths: Sequence[Path],
    out: Path | None = None,
    *,
    weights: str | None = None,
    options: RunOptions | None = None,
    choices: DetectChoices | None = None,
    progress: Progress = null_progress,
    command: str = "",
) -> DetectBatch:
    """Find the faces of each picture, folders standing for those in them. `out`: a file for one picture, a folder for
    several, or None.

    The error of a single picture is raised, before the model loads if the file is at fault; those of several are
    logged and collected. Missing weights are raised.
    """
    choices, options = choices or DetectChoices(), options or RunOptions()
    folder = any(os.path.isdir(path) for path in paths)  # False for a name that is too long
    paths = [picture for path in paths for picture in (pictures_of(path) if os.path.isdir(path) else [path])]
    stems = _stems(paths) if out is not None or choices.crops is not None else [path.stem for path in paths]
    outputs = _outputs(stems, out, folder=folder)
    if len(paths) == 1:
        _check(paths[0], outputs[0], choices, options, paths)
        read_picture(paths[0])
    finder = FaceFinder.load(weights, options)
    done: list[DetectResult] = []
    failed: list[Failure] = []
    with progress.task("finding faces", total=len(paths)) as task:
        for path, target, stem in zip(paths, outputs, stems, strict=True):
            try:
                done.append(
                    detect(path, target, finder, choices, options=options, stem=stem, sources=paths, command=command)
                )  # fmt: skip
            except VitappsError as error:
                if len(paths) == 1:
                    raise
                log.error("%s", error)
                failed.append(Failure(path, error))
            task.advance()
    return DetectBatch(done, failed)


def _stems(paths: Sequence[Path]) -> list[str]:
    """What outputs are called by: `party` for `party.jpg`, `party.jpg` where `party.png` is there too."""
    common = Counter(path.stem for path in paths)
    stems = [path.stem if common[path.stem] == 1 else path.name for path in paths]
    twice = [stem for stem, number in Counter(stems).items() if number > 1]
    if twice:
        raise UsageError(f"two inputs are called {twice[0]}", hint="run folder by folder with different -o")
    return stems


def _outputs(stems: Sequence[str], out: Path | None, *, folder: bool) -> list[Path | None]:
    """`STEM_faces.json` in the folder `out`; `out` itself for one picture that was not given by its `folder`, unless it
    is a folder."""
    if out is None:
        return [None] * len(stems)
    if len(stems) == 1 and not folder and not out.is_dir():
        return [out]
    if out.suffix and not out.is_dir():
        raise UsageError(f"-o {out}: one file for {len(stems)} inputs", hint="give a folder with -o")
    _make_folder(out)
    return [out / f"{stem}_faces.json" for stem in stems]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}", hint="give another folder") from error


def _check(
    path: Path, out: Path | None, choices: DetectChoices, options: RunOptions, sources: Sequence[Path]
) -> None:  # fmt: skip
    if choices.preview and out is None:
        raise UsageError("--preview without -o: nowhere to draw", hint="add -o OUT.json")
    if out is not None:
        for target in (out, *([preview_path(out)] if choices.preview else [])):
            check_output(target, overwrite=options.overwrite, sources=(path, *sources))


def _warnings(picture: Picture, faces: Sequence[Face]) -> list[str]:
    found = [*picture.warnings]
    if picture.frames > 1:
        found.append(f"{picture.name}: the first of {picture.frames} frames was searched")
    poor = sum(face.quality.sharpness < 0.15 or face.quality.size < 24 for face in faces)
    if poor:
        found.append(f"{picture.name}: {poor} of {len(faces)} faces are blurred or smaller than 24 pixels")
    return found


def _words(choices: DetectChoices) -> dict[str, Any]:
    find = choices.find
    return {
        "min_score": find.min_score, "min_face": find.min_face, "most": find.most, "turned": choices.turned,
        "tilted": choices.tilted, "preview": choices.preview, "crops": choices.crops, "crop_size": choices.crop_size,
    }  # fmt: skip


def _write(out: Path, result: DetectResult, pixels: Pixels, record: RunRecord, *, overwrite: bool) -> None:
    record.inputs = {str(result.input): sha256_file(result.input)}
    record.results = {"faces": len(result.faces), "output": str(out)}
    with atomic_path(out, overwrite=overwrite) as temporary:  # all appears, or nothing
        temporary.write_text(json_text(result.to_json()), encoding="utf-8")
        if result.preview:
            draw_faces(pixels, result.faces, preview_path(temporary))
    write_run_record(out, record)


def _write_crops(
    stem: str, pixels: Pixels, faces: Sequence[Face], choices: DetectChoices, *, overwrite: bool
) -> tuple[Path, ...]:
    """`DIR/STEM_face1.png`, best score first."""
    if choices.crops is None:
        return ()
    from PIL import Image

    _make_folder(choices.crops)
    written = []
    for number, face in enumerate(faces, 1):
        target = choices.crops / f"{stem}_face{number}.png"
        crop = align(pixels, face.landmarks, choices.crop_size)
        with atomic_path(target, overwrite=overwrite) as temporary:
            Image.fromarray(crop).save(temporary, format="PNG")
        written.append(target)
    return tuple(written)
