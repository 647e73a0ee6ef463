"""Task `medical.segment` of `vitapps batch`: one scan -> a label map, with the model loaded once a worker."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vitapps.datasets.formats.label_map import SUFFIX, LabelFormat, labels_path
from vitapps.datasets.formats.volume import volume_stem
from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.medical.segment import segment_with
from vitapps.pipelines.medical.segment_types import SegmentChoices
from vitapps.pipelines.medical.volume_model import DEFAULT_CARD, VolumeModel
from vitapps.provenance import preview_path, record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps medical segment`, by the same names; `preview` and `volumes` lie beside the output."""

    format: LabelFormat = "nifti"
    labels: tuple[str, ...] = ()
    mask: bool = False
    keep_largest: bool = True
    refine: bool = True
    tta: bool = False
    preview: bool = False
    volumes: Literal["csv", "json"] | None = None
    volume: int | None = None


class BatchTask(Task):
    summary = "brain structures of MR scans, as label maps on the scan's own grid"
    patterns = ("**/*.nii.gz",)
    Settings = Settings
    default_weights = DEFAULT_CARD
    takes_folders = True

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._model = VolumeModel.load(spec.weights, spec.options)

    def __call__(self, item: Item) -> ItemResult:
        choices = _choices(self.spec.settings, item.out)
        found = segment_with(
            self._model, item.input, item.out, options=self.spec.options, choices=choices, command=item.command
        )
        files = [path for path in self.outputs(self.spec, item.out) if path.exists()]
        summary = {"total_ml": round(found.total_ml, 2), "labels": sum(label.voxels > 0 for label in found.labels)}
        return ItemResult(outputs=tuple(files), preview=found.preview, summary=summary, warnings=found.warnings)

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return f"_seg{SUFFIX[spec.settings.format]}"

    @classmethod
    def stem(cls, path: Path) -> str:
        return volume_stem(path)

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        choices = _choices(spec.settings, out)
        pictures = [preview_path(out)] if choices.preview else []
        extras = [*pictures, *([choices.volumes] if choices.volumes else [])]
        return (out, labels_path(out), *extras, record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        settings, choices = spec.settings, _choices(spec.settings, item.out)
        words = ["medical", "segment", str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += ["--weights", spec.weights] if spec.weights else []
        words += [word for label in settings.labels for word in ("--labels", label)]
        words += ["--mask"] if settings.mask else []
        words += [] if settings.keep_largest else ["--no-keep-largest"]
        words += [] if settings.refine else ["--no-refine"]
        words += ["--tta"] if settings.tta else []
        words += ["--preview"] if choices.preview else []
        words += ["--volumes", str(choices.volumes)] if choices.volumes else []
        return [*words, *([] if settings.volume is None else ["--volume", str(settings.volume)])]

    @classmethod
    def modality(cls, path: Path) -> str | None:
        """Of a DICOM file, or of the first file of a folder; None for other formats."""
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError

        first = next((part for part in sorted(path.rglob("*")) if part.is_file()), None) if path.is_dir() else path
        try:
            return (
                None
                if first is None
                else str(dcmread(first, specific_tags=["Modality"], stop_before_pixels=True).Modality)
            )
        except (InvalidDicomError, AttributeError):
            return None


def _choices(settings: Settings, out: Path) -> SegmentChoices:
    stem = labels_path(out).name.removesuffix(".labels.json")
    return replace(
        SegmentChoices(
            structures=settings.labels, mask=settings.mask, keep_largest=settings.keep_largest,
            refine=settings.refine, tta=settings.tta, volume=settings.volume,
        ),
        preview=settings.preview,
        volumes=out.with_name(f"{stem}_volumes.{settings.volumes}") if settings.volumes else None,
    )  # fmt: skip
