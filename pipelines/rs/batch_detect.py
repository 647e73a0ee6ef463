"""Task `rs.detect` of `vitapps batch`: one raster -> boxes, with the detector loaded once a worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from vitapps.datasets.formats.vector_formats import COMPANIONS, SUFFIXES, VectorFormat
from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.rs.detect import DetectSettings, check_settings, detect
from vitapps.pipelines.rs.detector import DEFAULT_WEIGHTS, load_detector
from vitapps.provenance import preview_path, record_path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps rs detect`, by the same names."""

    bands: tuple[int, ...] = ()
    range: tuple[float, float] | None = None
    gsd: str | float = "auto"
    min_score: float | None = None
    nms_iou: float | None = None
    min_size: float = 0.0
    max_size: float | None = None
    region: tuple[float, float, float, float] | None = None
    aoi: Path | None = None
    format: VectorFormat = "gpkg"
    preview: bool = False
    thorough: bool = False


class BatchTask(Task):
    summary = "objects (tree crowns) in aerial and satellite rasters, as georeferenced boxes"
    patterns = ("**/*.tif",)
    Settings = Settings
    default_weights = DEFAULT_WEIGHTS

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._settings = _detect_settings(spec.settings)
        self._detector = load_detector(spec.weights or DEFAULT_WEIGHTS, spec.options)

    def __call__(self, item: Item) -> ItemResult:
        found = detect(item.input, item.out, self._detector, self._settings, command=item.command)
        files = [path for path in self.outputs(self.spec, item.out) if path.exists()]
        summary = {"boxes": found.count, "area_ha": found.area_ha, "mean_score": found.mean_score}
        return ItemResult(
            outputs=tuple(files), preview=found.preview, summary=summary, warnings=tuple(found.warnings)
        )  # fmt: skip

    @classmethod
    def check(cls, spec: TaskSpec) -> None:
        check_settings(_detect_settings(spec.settings))

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return f"_detections{SUFFIXES[spec.settings.format]}"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        companions = [out.with_suffix(suffix) for suffix in COMPANIONS] if spec.settings.format == "shp" else []
        preview = [preview_path(out)] if spec.settings.preview else []
        return (out, *companions, *preview, record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        words = ["rs", "detect", str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += ["--weights", spec.weights] if spec.weights else []
        default = asdict(Settings())
        for name, value in asdict(spec.settings).items():
            if value == default[name]:
                continue
            option = f"--{name.replace('_', '-')}"
            text = ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
            words += [option] if value is True else [f"{option}={text}"]
        return words


def _detect_settings(settings: Settings) -> DetectSettings:
    values = asdict(settings)
    values["value_range"] = values.pop("range")
    values["max_size"] = float("inf") if settings.max_size is None else settings.max_size
    return DetectSettings(**values)
