"""Task `video.segment` of `vitapps batch`: one clip with the mask of its first frame -> the mask of every frame.

The mask of `dog.mp4` is `dog.png` beside it, or in the folder of the option `masks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.datasets.formats.video_choices import Decoder
from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.video.segment import SegmentSettings, segment
from vitapps.provenance import preview_path, record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps video segment`, by the same names; `masks`: a folder of NAME.png; `format`: .json (run
    lengths) or .mp4 (drawn)."""

    masks: Path | None = None
    format: Literal["json", "mp4"] = "json"
    start: float | None = None
    end: float | None = None
    stride: int = 1
    decoder: Decoder = "auto"
    preview: bool = False


class BatchTask(Task):
    summary = "the objects of a first mask, followed through a clip"
    patterns = ("**/*.mp4",)
    Settings = Settings

    def __call__(self, item: Item) -> ItemResult:
        own = self.spec.settings
        settings = SegmentSettings(
            start=own.start, end=own.end, stride=own.stride, decoder=own.decoder, preview=own.preview
        )
        done = segment(
            str(item.input), mask_of(item.input, own), item.out, settings=settings, options=self.spec.options,
            command=item.command,
        )  # fmt: skip
        files = [path for path in self.outputs(self.spec, item.out) if path.exists()]
        summary = {"frames": done.frames, "objects": len(done.objects), "lost": len(done.lost_s)}
        return ItemResult(
            outputs=tuple(files), preview=done.preview, summary=summary, warnings=tuple(done.warnings)
        )  # fmt: skip

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return f"_masks.{spec.settings.format}"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        preview = [preview_path(out)] if spec.settings.preview else []
        return (out, *preview, record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        own, default = spec.settings, Settings()
        words = ["video", "segment", str(item.input), "--mask", str(mask_of(item.input, own)), "-o", str(item.out)]
        words += option_words(spec.options)
        named = {"--start": own.start, "--end": own.end}
        words += [f"{name}={value:g}" for name, value in named.items() if value is not None]
        words += [f"--stride={own.stride}"] if own.stride != default.stride else []
        words += [f"--decoder={own.decoder}"] if own.decoder != default.decoder else []
        return words + ["--preview"] * own.preview


def mask_of(clip: Path, settings: Settings) -> Path:
    """`dog.mp4` -> `dog.png`."""
    return (settings.masks or clip.parent) / f"{clip.stem}.png"
