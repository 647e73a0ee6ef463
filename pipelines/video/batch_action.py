"""Task `video.action` of `vitapps batch`: one clip -> what happens in it, with the network loaded once a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.datasets.formats.video_choices import Decoder
from vitapps.pipelines.batch.task import Item, ItemResult, TaskSpec
from vitapps.pipelines.video.action import ActionSettings, action
from vitapps.pipelines.video.clip_task import ClipTask
from vitapps.provenance import preview_path, record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps video action`, by the same names; `format` of the output."""

    format: Literal["json", "csv", "srt"] = "json"
    hop: int | None = None
    crops: int = 1
    decoder: Decoder = "auto"
    preview: bool = False


class BatchTask(ClipTask):
    summary = "what happens in clips, over time and as a whole"
    Settings = Settings

    def __call__(self, item: Item) -> ItemResult:
        own: Settings = self.spec.settings
        settings = ActionSettings(hop=own.hop, crops=own.crops, decoder=own.decoder, preview=own.preview)
        found = action(
            str(item.input), item.out, settings=settings, options=self.spec.options, model=self._model,
            command=item.command,
        )  # fmt: skip
        best = found.clip[0]
        summary = {"action": best.label, "score": best.score, "segments": len(found.segments)}
        return ItemResult(
            outputs=self.outputs(self.spec, item.out), preview=found.preview, summary=summary,
            warnings=tuple(found.warnings),
        )  # fmt: skip

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return f"_actions.{spec.settings.format}"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        return (out, *([preview_path(out)] if spec.settings.preview else []), record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        own: Settings = spec.settings
        words = cls.clip_words("action", spec, item)
        words += [f"--crops={own.crops}"] if own.crops != Settings().crops else []
        return words + ["--preview"] * own.preview
