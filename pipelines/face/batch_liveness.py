"""Task `face.liveness` of `vitapps batch`: one picture or clip -> a JSON judgement, the model loaded once a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.face.liveness import Liveness, LivenessSettings
from vitapps.pipelines.face.liveness_model import DEFAULT_WEIGHTS, read_point
from vitapps.provenance import preview_path, record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps face liveness`, by the same names."""

    calibration: Path | None = None
    crop: bool = False
    preview: bool = False


class BatchTask(Task):
    summary = "live face, spoof or unsure, at the operating point of a calibration"
    patterns = ("**/*.jpg", "**/*.png", "**/*.mp4")
    Settings = Settings
    default_weights = DEFAULT_WEIGHTS

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._judge = Liveness(spec.weights, _liveness_settings(spec.settings), spec.options)

    def __call__(self, item: Item) -> ItemResult:
        found = self._judge.judge(item.input, item.out, command=item.command)
        files = tuple(path for path in self.outputs(self.spec, item.out) if path.exists())
        summary = {"verdict": found.verdict, "score": found.score}
        return ItemResult(outputs=files, preview=found.preview, summary=summary, warnings=tuple(found.warnings))

    @classmethod
    def check(cls, spec: TaskSpec) -> None:
        _liveness_settings(spec.settings)

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return "_liveness.json"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        return (out, *([preview_path(out)] if spec.settings.preview else []), record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        settings = spec.settings
        words = ["face", "liveness", str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += ["--weights", spec.weights] if spec.weights else []
        words += ["--calibration", str(settings.calibration)] if settings.calibration else []
        return words + [f"--{name}" for name in ("crop", "preview") if getattr(settings, name)]


def _liveness_settings(settings: Settings) -> LivenessSettings:
    point = read_point(settings.calibration) if settings.calibration else None
    return LivenessSettings(crop=settings.crop, preview=settings.preview, point=point)
