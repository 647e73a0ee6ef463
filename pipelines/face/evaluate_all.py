"""`vitapps face eval all`: every table of the domain, each beside its baselines, in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitapps.errors import UnreadableInputError, VitappsError
from vitapps.options import RunOptions
from vitapps.progress import Progress, null_progress

Evaluate = Callable[[Path, RunOptions, Progress], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One evaluation: its `report`, or why there is none: `skipped` without its data, `failed` with them."""

    name: str
    report: Any = None
    skipped: str = ""
    failed: str = ""


def evaluate_all(
    data: Path, *, options: RunOptions | None = None, progress: Progress = null_progress,
    evaluations: dict[str, tuple[str, Evaluate]] | None = None,
) -> list[Part]:  # fmt: skip
    """Every evaluation whose folder of `data` is there, in the layout of docs/faces.md; UnreadableInputError where none
    is. `evaluations`: by name the folder and the function, the domain's own by default."""
    options = options or RunOptions()
    chosen = evaluations or EVALUATIONS
    present = {name for name, (folder, _) in chosen.items() if (data / folder).is_dir()}
    if not present:
        folders = sorted({folder for folder, _ in chosen.values()})
        raise UnreadableInputError(f"{data}: holds none of {', '.join(folders)}", hint="docs/faces.md has the layout")
    parts = []
    with progress.task("evaluations", total=len(present)) as task:
        for name, (folder, evaluate) in chosen.items():
            if name not in present:
                parts.append(Part(name=name, skipped=f"no {data / folder}"))
                continue
            try:
                parts.append(Part(name=name, report=evaluate(data, options, progress)))
            except VitappsError as error:
                parts.append(Part(name=name, failed=error.message))
            task.advance()
    return parts


def _detect(data: Path, options: RunOptions, progress: Progress) -> Any:
    from vitapps.pipelines.face.evaluate_detector import evaluate_detector

    return evaluate_detector(data, options=options, progress=progress)


def _verify(data: Path, options: RunOptions, progress: Progress) -> Any:
    from vitapps.pipelines.face.evaluate_verifier import evaluate_verifier

    return evaluate_verifier(data, options=options, progress=progress)


def _expression(data: Path, options: RunOptions, progress: Progress) -> Any:
    from vitapps.pipelines.face.evaluate_expression import evaluate

    return evaluate(data, progress=progress)


def _liveness(data: Path, options: RunOptions, progress: Progress) -> Any:
    from vitapps.pipelines.face.liveness_eval import evaluate

    return evaluate(data / "liveness", leave_out=True, options=options, progress=progress)


def _deepfake(data: Path, options: RunOptions, progress: Progress) -> Any:
    from vitapps.pipelines.face.deepfake_eval import evaluate

    return evaluate(data / "deepfake", robustness=True, options=options, progress=progress)


def _localize(data: Path, options: RunOptions, progress: Progress) -> Any:
    from vitapps.pipelines.face.localize_eval import evaluate

    return evaluate(data / "localize", progress=progress)


EVALUATIONS: dict[str, tuple[str, Evaluate]] = {
    "detect": ("verify", _detect),
    "verify": ("verify", _verify),
    "expression": ("expression", _expression),
    "liveness": ("liveness", _liveness),
    "deepfake": ("deepfake", _deepfake),
    "localize": ("localize", _localize),
}
