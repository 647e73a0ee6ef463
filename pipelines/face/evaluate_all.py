"""`vitapps face eval all`: every table of the domain, each beside its baselines, in one run.

A run takes minutes of CPU time. With a folder to keep them in, each table is written there as soon as it is finished,
and a run that was interrupted goes on with the next one; a kept table serves as long as data, models and version are
the same (`kept_tables.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError, VitappsError
from vitapps.jsonable import json_ready
from vitapps.options import RunOptions
from vitapps.pipelines.face.kept_tables import KeptTables, Part
from vitapps.progress import Progress, null_progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What every evaluation takes; `limit` pictures of each set of `detect`."""

    limit: int = 60
    options: RunOptions = field(default_factory=RunOptions)
    progress: Progress = null_progress


Lines = Callable[[Any], list[str]]  # a report -> its table as lines


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`score` gives a report of `folder` of the data, by the models of `cards`."""

    folder: str
    score: Callable[[Path, Setting], Any]
    cards: tuple[str, ...] = ()


def evaluate_all(
    data: Path, lines: Mapping[str, Lines], setting: Setting | None = None, *, keep: Path | None = None,
    evaluations: Mapping[str, Evaluation] | None = None,
) -> list[Part]:  # fmt: skip
    """Every evaluation whose folder of `data` is there, in the layout of docs/faces.md; UnreadableInputError where none
    is, OutputError where `keep` holds other files of these names.

    `lines` by name: how a report is printed. `evaluations` by name, the domain's own by default."""
    setting, chosen = setting or Setting(), evaluations or EVALUATIONS
    present = [name for name, each in chosen.items() if (data / each.folder).is_dir()]
    if not present:
        folders = sorted({each.folder for each in chosen.values()})
        raise UnreadableInputError(f"{data}: holds none of {', '.join(folders)}", hint="docs/faces.md has the layout")
    kept = None if keep is None else KeptTables(keep, data, setting.limit, present)
    parts = {name: Part(name=name, skipped=f"no {data / each.folder}") for name, each in chosen.items()}
    with setting.progress.task("evaluations", total=len(present)) as task:
        for name in present:
            found = kept.read(name, chosen[name].cards) if kept else None
            if found is None:
                found = _measured(name, chosen[name], lines[name], data, setting)
                if kept is not None:
                    kept.write(found, chosen[name].cards)
            parts[name] = found
            task.advance()
    return list(parts.values())


def _measured(name: str, evaluation: Evaluation, lines: Lines, data: Path, setting: Setting) -> Part:
    """The evaluation's table and what it took, or why it failed."""
    from vitapps.pipelines.runtime.measure import peak_memory

    start = time.process_time()
    try:
        report = evaluation.score(data, setting)
        part = Part(name=name, table=json_ready(_rows(report)), lines=lines(report))
    except VitappsError as error:
        part = Part(name=name, failed=error.message)
    return replace(part, cpu_s=round(time.process_time() - start, 1), peak_mb=round(peak_memory() / 1e6))


def _rows(report: Any) -> Any:
    """A report without its curves, which have a command of their own."""
    if not is_dataclass(report) or isinstance(report, type):
        return report
    return {key: value for key, value in asdict(report).items() if key != "curves"}


def _detect(data: Path, setting: Setting) -> Any:
    from vitapps.pipelines.face.evaluate_detector import evaluate_detector

    return evaluate_detector(data, limit=setting.limit, options=setting.options, progress=setting.progress)


def _verify(data: Path, setting: Setting) -> Any:
    from vitapps.pipelines.face.evaluate_verifier import evaluate_verifier

    return evaluate_verifier(data, options=setting.options, progress=setting.progress)


def _expression(data: Path, setting: Setting) -> Any:
    from vitapps.pipelines.face.evaluate_expression import evaluate

    return evaluate(data, progress=setting.progress)


def _liveness(data: Path, setting: Setting) -> Any:
    from vitapps.pipelines.face.liveness_eval import evaluate

    return evaluate(data / "liveness", leave_out=True, options=setting.options, progress=setting.progress)


def _deepfake(data: Path, setting: Setting) -> Any:
    from vitapps.pipelines.face.deepfake_eval import evaluate

    return evaluate(data / "deepfake", robustness=True, options=setting.options, progress=setting.progress)


def _localize(data: Path, setting: Setting) -> Any:
    from vitapps.pipelines.face.evidence.network import Localizer
    from vitapps.pipelines.face.localize_eval import evaluate

    network = Localizer.load("face-localizer", setting.options)
    return evaluate(data / "localize", progress=setting.progress, network=network)


_FINDING = ("face-finder", "face-points")
EVALUATIONS = {
    "detect": Evaluation("verify", _detect, _FINDING),
    "verify": Evaluation("verify", _verify, ("face-embed", *_FINDING)),
    "expression": Evaluation("expression", _expression, ("face-expression",)),
    "liveness": Evaluation("liveness", _liveness, _FINDING),
    "deepfake": Evaluation("deepfake", _deepfake, ("face-deepfake", *_FINDING)),
    "localize": Evaluation("localize", _localize, ("face-localizer",)),
}
