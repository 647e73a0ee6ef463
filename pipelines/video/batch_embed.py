"""Task `video.embed` of `vitapps batch`: one clip -> its vectors, with the network loaded once a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.datasets.formats.video_choices import Decoder
from vitapps.pipelines.batch.task import Item, ItemResult, TaskSpec
from vitapps.pipelines.video.action import ActionSettings
from vitapps.pipelines.video.clip_task import ClipTask
from vitapps.pipelines.video.embed import embed
from vitapps.provenance import record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps video embed`, by the same names; `format` of the output."""

    format: Literal["npz", "csv"] = "npz"
    hop: int | None = None
    decoder: Decoder = "auto"


class BatchTask(ClipTask):
    summary = "clips as vectors, one a window"
    Settings = Settings

    def __call__(self, item: Item) -> ItemResult:
        own: Settings = self.spec.settings
        found = embed(
            [str(item.input)], item.out, settings=ActionSettings(hop=own.hop, decoder=own.decoder),
            options=self.spec.options, model=self._model, command=item.command,
        )  # fmt: skip
        return ItemResult(
            outputs=self.outputs(self.spec, item.out), summary={"windows": found.windows, "width": found.width},
            warnings=tuple(found.warnings),
        )  # fmt: skip

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return f"_vectors.{spec.settings.format}"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        return (out, record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        return cls.clip_words("embed", spec, item)
