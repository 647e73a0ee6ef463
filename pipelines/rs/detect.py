"""`vitapps rs detect`: objects in one raster of any size, as boxes in the raster's own CRS."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.raster import Raster, Window, open_raster
from vitapps.datasets.formats.raster_range import choose_range
from vitapps.datasets.formats.vector import BoxTable, check_table, write_table
from vitapps.datasets.formats.vector_formats import COMPANIONS, SUFFIXES, VectorFormat, choose_format
from vitapps.errors import UsageError
from vitapps.pipelines.rs.area import Area, Region, choose_area
from vitapps.pipelines.rs.detector import Detector
from vitapps.pipelines.rs.find import Filter, Search
from vitapps.pipelines.rs.fuse import result_of_looks, rules_of_look
from vitapps.pipelines.rs.gsd import Scale, choose_scale
from vitapps.pipelines.rs.notes import noted
from vitapps.pipelines.rs.preview import Preview
from vitapps.pipelines.rs.scan import BlockPlan, Picture, read_ahead
from vitapps.pipelines.rs.spec import DetectorSpec
from vitapps.progress import Progress, null_progress
from vitapps.provenance import RunRecord, preview_path, sha256_file, write_run_record

_LOGGER = logging.getLogger("vitapps.rs")


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectSettings:
    """How to look and what to keep; None means: as the raster or the weight card says.

    `bands` 1-based red, green, blue; `value_range` stored values shown as black and white; `gsd` `auto`, `native` or
    the raster's pixel size in metres; `min_size`, `max_size` of the longer side of a box in metres; `region` minx miny
    maxx maxy in CRS units; `aoi` a vector file whose polygons hold the centres of the boxes; `thorough`: look
    at all scales of the card and fuse what they show.
    """

    bands: tuple[int, ...] = ()
    value_range: tuple[float, float] | None = None
    gsd: str | float = "auto"
    min_score: float | None = None
    nms_iou: float | None = None
    min_size: float = 0.0
    max_size: float = float("inf")
    region: Region | None = None
    aoi: Path | None = None
    format: VectorFormat | None = None
    preview: bool = False
    thorough: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectResult:
    """What came out: `per_class` counts by label, `area_ha` hectares of valid pixels searched (None without a pixel
    size), `density_per_ha` boxes a hectare, `megapixels` of the raster searched, `timings` seconds by stage."""

    input: Path
    out: Path
    preview: Path | None
    record: Path
    count: int
    per_class: dict[str, int]
    mean_score: float | None
    area_ha: float
    density_per_ha: float | None
    pixel_size_m: tuple[float, float]
    megapixels: float
    megapixels_per_s: float
    timings: dict[str, float]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name; paths stay paths."""
        return asdict(self)


def default_output(raster: Path, folder: Path | None, form: VectorFormat | None) -> Path:
    """`tile.tif` -> `tile_detections.gpkg`, beside the raster or in `folder`."""
    name = f"{raster.stem}_detections{SUFFIXES[form or 'gpkg']}"
    return (folder or raster.parent) / name


def check_detection(
    path: Path, out: Path, settings: DetectSettings, *, overwrite: bool, sources: Sequence[Path] = ()
) -> None:
    """Refuse before the model loads what no model could do: senseless settings, outputs that cannot be written or
    would replace one of `sources`, a raster that does not open. Raises as `detect` does."""
    check_settings(settings)
    _check_outputs(out, settings, overwrite=overwrite, sources=(path, *sources))
    with open_raster(path, settings.bands) as raster:
        check_table(raster.meta, choose_format(out, settings.format))


def detect(
    path: Path,
    out: Path,
    detector: Detector,
    settings: DetectSettings | None = None,
    *,
    sources: Sequence[Path] = (),
    progress: Progress = null_progress,
    command: str = "",
) -> DetectResult:
    """Search `path` and write the boxes to `out`, with a run record and, if asked for, a preview beside it.

    `sources` are further inputs that no output may replace. Raises UsageError, UnreadableInputError or OutputError;
    then no output is left and older ones are untouched.
    """
    settings = settings or DetectSettings()
    overwrite = detector.options.overwrite
    check_settings(settings)
    _check_outputs(out, settings, overwrite=overwrite, sources=(path, *sources))
    form = choose_format(out, settings.format)
    picture_path = preview_path(out) if settings.preview else None
    record = _new_record(detector, settings, command)
    with noted(record.warnings):
        with record.timed("search"):
            table, search, preview = _search(path, detector, settings, form, progress)
        with record.timed("hash"):
            record.inputs = {str(path): sha256_file(path)}
        with record.timed("write"), atomic_path(out, overwrite=overwrite) as temporary:  # all appears, or nothing
            write_table(temporary, table, form)
            if preview:
                preview.save(preview_path(temporary), table.boxes, table.labels, search.scale)
    return _report(path, out, picture_path, table, search, record)


def _search(
    path: Path, detector: Detector, settings: DetectSettings, form: VectorFormat, progress: Progress
) -> tuple[BoxTable, Search, Preview | None]:
    spec = detector.spec.thorough() if settings.thorough else detector.spec
    with open_raster(path, settings.bands) as raster:
        check_table(raster.meta, form)
        area = choose_area(raster.meta, settings.region, settings.aoi)
        scale = choose_scale(raster.meta, spec.gsd, settings.gsd)
        raster.value_range = choose_range(raster, settings.value_range)
        rules = _rules(spec, settings, area)
        looks = [Search(spec.at(factor), scale.times(factor), rules_of_look(rules, spec), detector.predict,
                        detector.batch) for factor in spec.scales]  # fmt: skip
        plans = [_plan(raster, look, area) for look in looks]
        preview = Preview(plans[0].area) if settings.preview else None
        with progress.task(f"searching {path.name}", total=sum(map(len, plans))) as task:
            for look, plan in zip(looks, plans, strict=True):
                with closing(read_ahead(raster, plan, look.scale)) as pictures:
                    look.run(_shown(pictures, preview if look is looks[0] else None), task)
        found = result_of_looks(looks, rules)
        if not looks[0].covered:
            _LOGGER.warning("%s: no valid pixel in the searched part (all nodata)", path)
        table = BoxTable(
            meta=raster.meta,
            boxes=found.boxes,
            scores=found.scores,
            labels=found.labels,
            names=spec.names,
            pixel=scale.pixel,
        )
    return table, looks[0], preview


def _plan(raster: Raster, look: Search, area: Area) -> BlockPlan:
    """The blocks of one look at `area`."""
    spec, scale = look.spec, look.scale
    wanted = _model_window(area.window, scale, round(spec.window * spec.overlap / 2))
    return BlockPlan(wanted, spec.window, spec.overlap, scale, full_rows=_in_strips(raster))


def _shown(pictures: Iterator[Picture], preview: Preview | None) -> Iterator[Picture]:
    for picture in pictures:
        if preview:
            preview.add(picture)
        yield picture


def _rules(spec: DetectorSpec, settings: DetectSettings, area: Area) -> Filter:
    iou = spec.nms_iou if settings.nms_iou is None else settings.nms_iou
    sizes = (settings.min_size, settings.max_size)
    return Filter(floor=spec.floor(settings.min_score), iou=iou, area=area, sizes=sizes)


def _model_window(window: Window, scale: Scale, halo: int) -> Window:
    """The area in model pixels with room for what stands on its edge, within the raster."""
    x0, y0, x1, y1 = window
    return (
        max(0, int(np.floor(x0 * scale.x)) - halo),
        max(0, int(np.floor(y0 * scale.y)) - halo),
        min(scale.width, int(np.ceil(x1 * scale.x)) + halo),
        min(scale.height, int(np.ceil(y1 * scale.y)) + halo),
    )


def _in_strips(raster: Raster) -> bool:
    return bool(raster.dataset.block_shapes[0][1] >= raster.meta.width)


def check_settings(settings: DetectSettings) -> None:
    """Refuse settings that no raster could fit."""
    for name, value in (("--min-score", settings.min_score), ("--nms-iou", settings.nms_iou)):
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"{name} {value:g}: outside 0 to 1", hint="leave it out to use the card's value")
    if not 0 <= settings.min_size < settings.max_size:
        raise UsageError(
            f"--min-size {settings.min_size:g} --max-size {settings.max_size:g}: no size fits",
            hint="both are metres of the longer side, the smaller first",
        )


def _check_outputs(out: Path, settings: DetectSettings, *, overwrite: bool, sources: Sequence[Path]) -> None:
    form = choose_format(out, settings.format)
    companions = [out.with_suffix(suffix) for suffix in COMPANIONS] if form == "shp" else []
    pictures = [preview_path(out)] if settings.preview else []
    inputs = [*sources, *([settings.aoi] if settings.aoi else [])]
    for path in (out, *companions, *pictures):
        check_output(path, overwrite=overwrite, sources=inputs)


def _new_record(detector: Detector, settings: DetectSettings, command: str) -> RunRecord:
    return RunRecord(
        command=command,
        options={**asdict(settings), "reduce": detector.options.reduce},
        weights={detector.name: detector.sha256},
        engine=detector.engine,
        engine_reason=detector.reason,
        precision=detector.precision,
        device=detector.device,
        threads=detector.threads,
        seed=detector.options.seed,
    )


def _report(
    path: Path, out: Path, preview: Path | None, table: BoxTable, search: Search, record: RunRecord
) -> DetectResult:
    scale = search.scale
    raster_pixels = search.covered / (scale.x * scale.y)
    hectares = raster_pixels * scale.pixel[0] * scale.pixel[1] / 1e4
    megapixels = raster_pixels / 1e6
    result: dict[str, Any] = {
        "count": len(table.boxes),
        "per_class": {name: int((table.labels == index).sum()) for index, name in enumerate(table.names)},
        "mean_score": round(float(table.scores.mean()), 4) if len(table.scores) else None,
        "area_ha": round(hectares, 4),
        "density_per_ha": round(len(table.boxes) / hectares, 2) if hectares else None,
        "pixel_size_m": (round(scale.pixel[0], 6), round(scale.pixel[1], 6)),
        "megapixels": round(megapixels, 3),
        "megapixels_per_s": round(megapixels / max(record.timings["search"], 1e-9), 3),
    }
    record.results = {**result, "output": str(out)}
    return DetectResult(
        input=path,
        out=out,
        preview=preview,
        record=write_run_record(out, record),
        timings=record.timings,
        warnings=record.warnings,
        **result,
    )
