"""Task `video.track` of `vitapps batch`: one clip and its first boxes -> tracks.

The boxes of `clip.mp4` stand beside it in `clip.box.txt`, one object a line: `x,y,w,h` in pixels of the first frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.tracks import SUFFIXES, TrackFormat
from vitapps.datasets.sets.tracking import read_boxes
from vitapps.errors import UnreadableInputError
from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.video.starts import Prompt
from vitapps.pipelines.video.track import TrackSettings, track
from vitapps.provenance import preview_path, record_path

_SUFFIX_OF = {form: suffix for suffix, form in reversed(SUFFIXES.items())} | {"coco": ".json"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps video track`, by the same names; `draw` writes the clip with boxes, `OUT.mp4`."""

    stride: int = 1
    format: TrackFormat = "csv"
    draw: bool = False
    preview: bool = False


class BatchTask(Task):
    summary = "objects followed through clips, from boxes in CLIP.box.txt"
    patterns = ("**/*.mp4",)
    Settings = Settings

    def __call__(self, item: Item) -> ItemResult:
        settings: Settings = self.spec.settings
        found = track(
            item.input, item.out, _track_settings(settings, item), weights=self.spec.weights, options=self.spec.options,
            command=item.command,
        )  # fmt: skip
        files = [path for path in self.outputs(self.spec, item.out) if path.exists()]
        summary = {"objects": found.objects, "frames": found.frames, "mean_score": found.mean_score}
        return ItemResult(
            outputs=tuple(files), preview=found.preview, summary=summary, warnings=tuple(found.warnings)
        )  # fmt: skip

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return f"_tracks{_SUFFIX_OF[spec.settings.format]}"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        video = [_drawn(out)] if spec.settings.draw else []
        preview = [preview_path(out)] if spec.settings.preview else []
        return (out, *video, *preview, record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        settings: Settings = spec.settings
        words = ["video", "track", str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += ["--weights", spec.weights] if spec.weights else []
        words += [f"--stride={settings.stride}", f"--format={settings.format}"]
        words += ["--video", str(_drawn(item.out))] if settings.draw else []
        words += ["--preview"] if settings.preview else []
        boxes = _boxes(item.input) if _side_file(item.input).is_file() else ()
        return [*words, *(word for box in boxes for word in ("--box", ",".join(f"{value:g}" for value in box)))]


def _track_settings(settings: Settings, item: Item) -> TrackSettings:
    return TrackSettings(
        boxes=tuple(Prompt(where=box) for box in _boxes(item.input)), stride=settings.stride, format=settings.format,
        preview=settings.preview, video=_drawn(item.out) if settings.draw else None,
    )  # fmt: skip


def _drawn(out: Path) -> Path:
    return out.with_name(f"{out.name}.mp4")


def _side_file(clip: Path) -> Path:
    return clip.with_name(f"{clip.stem}.box.txt")


def _boxes(clip: Path) -> tuple[tuple[float, float, float, float], ...]:
    """The boxes of a clip's side file; UnreadableInputError where there is none, or it has no box."""
    path = _side_file(clip)
    if not path.is_file():
        raise UnreadableInputError(f"{clip}: has no {path.name} beside it", hint="one line x,y,w,h for each object")
    boxes = tuple((float(x), float(y), float(w), float(h)) for x, y, w, h in read_boxes(path) if w == w)
    if not boxes:
        raise UnreadableInputError(f"{path}: no box in it", hint="one line x,y,w,h for each object")
    return boxes
