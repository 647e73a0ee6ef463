"""Task `face.localize` of `vitapps batch`: one photograph -> a mask of what was edited.

By the classical evidence, or, where the job's `weights` name a card (`face-localizer`), by its network besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.face.evidence.fuse import Calibration
from vitapps.pipelines.face.evidence.kinds import EvidenceName
from vitapps.pipelines.face.evidence.network import Localizer
from vitapps.pipelines.face.localize import LocalizeSettings, localize
from vitapps.pipelines.face.localize_calibrate import read_calibration
from vitapps.provenance import preview_path, record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps face localize`, by the same names."""

    evidence: EvidenceName = "all"
    threshold: float = 0.5
    soft: bool = False
    calibration: Path | None = None
    preview: bool = False


class BatchTask(Task):
    summary = "where photographs were edited, as masks, from classical evidence or a network's reading of it"
    patterns = ("**/*.jpg", "**/*.png")
    Settings = Settings

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._settings = _localize_settings(spec)
        self._network = Localizer.load(spec.weights, spec.options) if spec.weights else None

    def __call__(self, item: Item) -> ItemResult:
        found = localize(
            item.input, item.out, self._settings, network=self._network, options=self.spec.options,
            command=item.command,
        )  # fmt: skip
        files = tuple(path for path in self.outputs(self.spec, item.out) if path.exists())
        summary = {"verdict": found.verdict, "score": found.score, "edited_share": found.edited_share}
        return ItemResult(outputs=files, preview=found.preview, summary=summary)

    @classmethod
    def check(cls, spec: TaskSpec) -> None:
        _localize_settings(spec)

    @classmethod
    def weights(cls, spec: TaskSpec) -> dict[str, str]:
        """None without a card: the evidence needs none."""
        if spec.weights is None:
            return {}
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(spec.weights, "face.localize")
        return {card.name: card.sha256}

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return "_edited.png"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        return (out, *([preview_path(out)] if spec.settings.preview else []), record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        settings = spec.settings
        words = ["face", "localize", str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += ["--weights", spec.weights] if spec.weights else []
        words += ["--evidence", settings.evidence] if settings.evidence != "all" else []
        words += ["--threshold", f"{settings.threshold:g}"] if settings.threshold != 0.5 else []
        words += ["--calibration", str(settings.calibration)] if settings.calibration else []
        return words + [f"--{name}" for name in ("soft", "preview") if getattr(settings, name)]


def _localize_settings(spec: TaskSpec) -> LocalizeSettings:
    settings = spec.settings
    curve = read_calibration(settings.calibration) if settings.calibration else Calibration()
    return LocalizeSettings(
        evidence=settings.evidence, threshold=settings.threshold, soft=settings.soft, preview=settings.preview,
        weights=spec.weights, calibration=curve,
    )  # fmt: skip
