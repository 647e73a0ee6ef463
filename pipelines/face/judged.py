"""What `liveness` and `deepfake` write: one JSON object, a run record and a picture beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.atomic import atomic_path, check_output
from vitapps.errors import UsageError
from vitapps.jsonable import json_text
from vitapps.options import RunOptions
from vitapps.pipelines.face.heat_map import save_png
from vitapps.provenance import RunRecord, preview_path, write_run_record


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
