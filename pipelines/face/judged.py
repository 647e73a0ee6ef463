"""How `liveness` and `deepfake` judge one input and write it: one JSON object, a run record and a picture beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.errors import UsageError
from vitapps.jsonable import json_text
from vitapps.options import RunOptions
from vitapps.pipelines.face.face_views import FaceReader, FaceView
from vitapps.pipelines.face.heat_map import save_png
from vitapps.pipelines.runtime.network_facts import NetworkFacts, new_record
from vitapps.provenance import RunRecord, preview_path, write_run_record


class Judgement(Protocol):
    """What a judge says of one input."""

    @property
    def warnings(self) -> list[str]: ...

    def to_json(self) -> dict[str, Any]: ...


Said = TypeVar("Said", bound=Judgement)


class FaceJudge(ABC, Generic[Said]):
    """A loaded model, known by its `facts`, with its reader: `judge(path, out)` for one input after another."""

    def __init__(self, facts: NetworkFacts, reader: FaceReader, settings: Any, options: RunOptions) -> None:
        """`settings` is a dataclass with `preview`."""
        self._facts, self.reader, self.settings, self.options = facts, reader, settings, options

    def judge(self, path: Path, out: Path | None = None, *, sources: Sequence[Path] = (), command: str = "") -> Said:
        """Judge one input; with `out` write the result as JSON with a run record and, if asked for, a preview."""
        drawn = check_judgement(path, out, self.options, preview=self.settings.preview, sources=sources)
        record = new_record([self._facts], options=self.options, settings=self.settings, command=command, inputs=[path])
        with record.timed("read"):
            views, notes = self.reader.views(path)
        with record.timed("score"):
            result = self._result(path, out, drawn, views)
        result.warnings.extend(notes)
        if out is not None:
            picture = self._picture(views[0]) if drawn else None
            record.warnings = result.warnings
            write_judgement(out, result.to_json(), picture, record, overwrite=self.options.overwrite)
        return result

    @abstractmethod
    def _result(self, path: Path, out: Path | None, drawn: Path | None, views: list[FaceView]) -> Said:
        """The judgement of one input's faces, `drawn` being where its preview goes."""

    @abstractmethod
    def _picture(self, view: FaceView) -> NDArray[np.uint8]:
        """What the preview shows of a face."""


def check_judgement(
    path: Path, out: Path | None, options: RunOptions, *, preview: bool, sources: Sequence[Path] = ()
) -> Path | None:
    """Refuse early what cannot be written; returns where the preview goes, None without one."""
    if out is None:
        if preview:
            raise UsageError("--preview without -o", hint="give -o RESULT.json: the picture goes beside it")
        return None
    drawn = preview_path(out) if preview else None
    for target in (out, *([drawn] if drawn else [])):
        check_output(target, overwrite=options.overwrite, sources=(path, *sources))
    return drawn


def write_judgement(
    out: Path, result: Mapping[str, Any], picture: NDArray[np.uint8] | None, record: RunRecord, *, overwrite: bool
) -> None:
    """Write `result` as JSON to `out`, `picture` as its preview, and the record."""
    with record.timed("write"), atomic_path(out, overwrite=overwrite) as temporary:
        temporary.write_text(json_text(result), encoding="utf-8")
        if picture is not None:
            save_png(preview_path(temporary), picture)
    record.results = dict(result)
    write_run_record(out, record)
