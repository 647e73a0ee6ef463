"""`vitapps video embed`: a clip as vectors, one a window, for search, clustering and probes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.video_read import open_clip
from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.pipelines.video.action import ActionSettings
from vitapps.pipelines.video.action_model import DEFAULT_WEIGHTS, ActionModel, load_action_model
from vitapps.pipelines.video.clip_record import note_clips
from vitapps.pipelines.video.windows import Seen, look
from vitapps.progress import Progress, null_progress
from vitapps.provenance import write_run_record

Floats = NDArray[np.float32]
SUFFIXES = (".npz", ".csv")


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedResult:
    """`windows` vectors of `width` numbers."""

    input: list[str]
    out: Path
    record: Path
    windows: int
    width: int
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def embed(
    sources: Sequence[str], out: Path, *, weights: str = DEFAULT_WEIGHTS, settings: ActionSettings | None = None,
    options: RunOptions | None = None, model: ActionModel | None = None, progress: Progress = null_progress,
    command: str = "",
) -> EmbedResult:  # fmt: skip
    """Embed every window of every clip of `sources` into `out`: .npz (`clip`, `start_s`, `end_s`, `embedding`) or .csv.
    `model`: loaded before, else by `weights`.

    Raises UsageError, UnreadableInputError, MissingError or OutputError; then no output is left.
    """
    settings, options = settings or ActionSettings(), options or RunOptions()
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"-o {out}: embeddings are not written as '{out.suffix}'", hint=f"one of {', '.join(SUFFIXES)}"
        )
    files = [Path(source) for source in sources if Path(source).exists()]
    check_output(out, overwrite=options.overwrite, sources=files)
    model = model or load_action_model(weights, options)
    record = new_record([model.facts], options=options, settings=settings, command=command, inputs=())
    found: list[tuple[str, Seen]] = []
    metas = []
    with record.timed("embed"), progress.task("embedding", total=len(sources)) as task:
        for source in sources:
            with closing(open_clip(source, decoder=settings.decoder, threads=options.threads)) as clip:
                frames = clip.frames(settings.start, settings.end)
                seen = look(frames, model, name=source, hop=settings.hop, crops=settings.crops)
                found += [(source, window) for window in seen]
                record.warnings += clip.warnings
                metas.append(clip.meta)
            task.advance()
    note_clips(record, *metas)
    record.results = {"windows": len(found), "width": len(found[0][1].embedding)}
    with atomic_path(out, overwrite=options.overwrite) as temporary:
        _write(temporary, found)
    return EmbedResult(
        input=list(sources), out=out, record=write_run_record(out, record), windows=len(found),
        width=len(found[0][1].embedding), timings=record.timings, warnings=record.warnings,
    )  # fmt: skip


def _write(path: Path, found: Sequence[tuple[str, Seen]]) -> None:
    names = np.array([source for source, _ in found])
    times = np.array([(window.start_s, window.end_s) for _, window in found])
    vectors = np.stack([window.embedding for _, window in found])
    if path.suffix.lower() == ".npz":
        with path.open("wb") as stream:
            np.savez_compressed(stream, clip=names, start_s=times[:, 0], end_s=times[:, 1], embedding=vectors)
        return
    import csv

    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["clip", "start_s", "end_s", *(f"e{place}" for place in range(vectors.shape[1]))])
        for name, (start, end), vector in zip(names, times, vectors, strict=True):
            writer.writerow([name, f"{start:.3f}", f"{end:.3f}", *(f"{value:.6g}" for value in vector)])
