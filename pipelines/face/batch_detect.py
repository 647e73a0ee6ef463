"""Task `face.detect` of `vitapps batch`: one picture -> its faces as JSON, with the finder loaded once a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.picture import PICTURE_SUFFIXES
from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.face.detect import DetectChoices, detect
from vitapps.pipelines.face.find_faces import DEFAULT_WEIGHTS, FaceFinder, FindSettings
from vitapps.provenance import preview_path, record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps face detect`, by the same names."""

    min_score: float | None = None
    min_face: float | None = None
    turned: bool = False
    tilted: bool = False
    preview: bool = False


class BatchTask(Task):
    summary = "faces in photographs: boxes, landmarks, quality as JSON"
    patterns = tuple(f"**/*{suffix}" for suffix in PICTURE_SUFFIXES)
    Settings = Settings
    default_weights = DEFAULT_WEIGHTS

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._choices = _choices(spec.settings)
        self._finder = FaceFinder.load(spec.weights or DEFAULT_WEIGHTS, spec.options)

    def __call__(self, item: Item) -> ItemResult:
        found = detect(
            item.input, item.out, self._finder, self._choices, options=self.spec.options, command=item.command
        )
        summary = {"faces": len(found.faces), "best_score": max((face.score for face in found.faces), default=None)}
        return ItemResult(
            outputs=self.outputs(self.spec, item.out), preview=found.preview, summary=summary, warnings=found.warnings
        )

    @classmethod
    def check(cls, spec: TaskSpec) -> None:
        _choices(spec.settings)

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return "_faces.json"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        return (out, *([preview_path(out)] if spec.settings.preview else []), record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        words = ["face", "detect", str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += ["--weights", spec.weights] if spec.weights else []
        settings: Settings = spec.settings
        words += [f"--min-score={settings.min_score:g}"] if settings.min_score is not None else []
        words += [f"--min-face={settings.min_face:g}"] if settings.min_face is not None else []
        return words + [f"--{name}" for name in ("turned", "tilted", "preview") if getattr(settings, name)]


def _choices(settings: Settings) -> DetectChoices:
    find = FindSettings(min_score=settings.min_score, min_face=settings.min_face)
    return DetectChoices(find=find, turned=settings.turned, tilted=settings.tilted, preview=settings.preview)
