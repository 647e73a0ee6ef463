"""`vitapps rs`: objects in aerial and satellite rasters, with training and scoring of the embedded detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitapps.apps.console import Run, WeightsOption, command, group, numbers
from vitapps.apps.terminal import columns
from vitapps.datasets.formats.vector_formats import VectorFormat
from vitapps.errors import ExitCode

app = group("Remote sensing: find objects in rasters of any size.")
train_app = group("Train an embedded model again, from its published recipe.")
app.add_typer(train_app, name="train")

_READ = "How to read the raster"
_KEEP = "What to keep"
RastersArgument = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT...", show_default=False, help="GeoTIFF, COG, VRT, JPEG 2000, PNG, JPEG: any size."),
]
BoxesOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", show_default=False,
        help="File (.gpkg .geojson .json .shp .csv) or folder; else NAME_detections.gpkg beside the input.",
    ),
]  # fmt: skip
FormatOption = Annotated[
    VectorFormat | None, typer.Option("--format", show_default=False, help="Else by the suffix of -o; coco is .json.")
]
BandsOption = Annotated[
    str | None,
    typer.Option(
        "--bands", metavar="R,G,B", show_default=False, rich_help_panel=_READ,
        help="Band numbers from 1; else by colour, wavelength, name, order.",
    ),
]  # fmt: skip
RangeOption = Annotated[
    str | None,
    typer.Option(
        "--range", metavar="LOW,HIGH", show_default=False, rich_help_panel=_READ,
        help="Stored values shown as black and white; else 0,255 for 8 bit, percentiles for others.",
    ),
]  # fmt: skip
GsdOption = Annotated[
    str,
    typer.Option(
        "--gsd", metavar="auto|native|METRES", rich_help_panel=_READ,
        help="Pixel size: by the georeference (resampled to the model's), as it is, or this.",
    ),
]  # fmt: skip
MinScoreOption = Annotated[
    float | None,
    typer.Option("--min-score", show_default=False, rich_help_panel=_KEEP, help="0 to 1; else the card's, by class."),
]
NmsOption = Annotated[
    float | None,
    typer.Option(
        "--nms-iou", show_default=False, rich_help_panel=_KEEP, help="Of two boxes that overlap more, one stays."
    ),
]
MinSizeOption = Annotated[float, typer.Option("--min-size", rich_help_panel=_KEEP, help="Of the longer side, metres.")]
MaxSizeOption = Annotated[
    float | None,
    typer.Option("--max-size", show_default=False, rich_help_panel=_KEEP, help="Of the longer side, metres."),
]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="MINX,MINY,MAXX,MAXY", show_default=False, rich_help_panel=_KEEP,
        help="Only here, in units of the raster's CRS.",
    ),
]  # fmt: skip
AoiOption = Annotated[
    Path | None,
    typer.Option("--aoi", show_default=False, rich_help_panel=_KEEP, help="Only inside the polygons of this file."),
]
DataOption = Annotated[
    Path, typer.Option("--data", show_default=False, help="Folder of NAME.tif with NAME.xml (Pascal VOC boxes).")
]
Baseline = Literal["watershed"]
ThoroughOption = Annotated[
    bool,
    typer.Option("--thorough", help="Look at three scales and fuse the boxes: a little better, five times slower."),
]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw the boxes on the raster: OUT.preview.png.")]


@command(app, "detect", reduces=True)
def detect(
    run: Run,
    rasters: RastersArgument,
    out: BoxesOption = None,
    weights: WeightsOption = None,
    output_format: FormatOption = None,
    preview: PreviewOption = False,
    bands: BandsOption = None,
    value_range: RangeOption = None,
    gsd: GsdOption = "auto",
    min_score: MinScoreOption = None,
    nms_iou: NmsOption = None,
    min_size: MinSizeOption = 0.0,
    max_size: MaxSizeOption = None,
    region: RegionOption = None,
    aoi: AoiOption = None,
    thorough: ThoroughOption = False,
) -> None:
    """Find objects (tree crowns by default) and write georeferenced boxes in the raster's CRS."""
    from vitapps.pipelines.rs.detect import DetectSettings
    from vitapps.pipelines.rs.detect_many import detect_many
    from vitapps.pipelines.rs.detector import DEFAULT_WEIGHTS

    settings = DetectSettings(
        bands=tuple(int(number) for number in numbers("--bands", bands, whole=True)),
        value_range=_pair("--range", value_range),
        gsd=_gsd(gsd),
        min_score=min_score,
        nms_iou=nms_iou,
        min_size=min_size,
        max_size=float("inf") if max_size is None else max_size,
        region=_region(region),
        aoi=aoi,
        format=output_format,
        preview=preview,
        thorough=thorough,
    )
    batch = detect_many(
        rasters, out, weights=weights or DEFAULT_WEIGHTS, options=run.options, settings=settings,
        progress=run.progress, command=run.command_line,
    )  # fmt: skip
    lines = [
        f"wrote {item.out}: {item.count} boxes on {item.area_ha:.2f} ha ({item.megapixels_per_s:.2f} Mpx/s)"
        for item in batch.done
    ]
    if len(rasters) == 1:
        run.emit(batch.done[0].to_json(), lines)
        return
    failures = [{"input": str(item.input), "error": str(item.error)} for item in batch.failed]
    run.emit({"results": [item.to_json() for item in batch.done], "failures": failures}, lines)
    if failures:  # each has been logged; under --json a second object would spoil stdout
        raise typer.Exit(ExitCode.PARTIAL)


@command(train_app, "trees")
def train_trees(
    run: Run,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps on the tiles.")] = 2000,
    synthetic_steps: Annotated[int, typer.Option(min=0, help="Steps on rendered canopies before.")] = 2400,
    batch: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 4,
    leave_out: Annotated[
        str | None, typer.Option("--leave-out", show_default=False, help="A site that is never seen: HARV, SJER, TEAK.")
    ] = None,
    also: Annotated[
        Path | None,
        typer.Option("--also", show_default=False, help="NAIP pictures with trees marked by points (NAME.tif, .csv)."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", show_default=False, help="The synthetic.pt of an earlier run.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the tree-crown detector from scratch on the NEON tiles."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.rs.train_trees import TreeFit, train
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = TreeFit(
        steps=steps, synthetic_steps=synthetic_steps, batch=batch, seed=run.options.seed,
        threads=run.options.threads or 1, also=also,
    )  # fmt: skip
    card = train(
        data, out, site_left_out=leave_out, config=config, start=start, device=device, resume=resume,
        progress=run.progress,
    )  # fmt: skip
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(app, "eval", reduces=True)
def evaluate(
    run: Run,
    data: DataOption,
    weights: WeightsOption = None,
    site: Annotated[list[str] | None, typer.Option("--site", show_default=False, help="Only these sites.")] = None,
    loso: Annotated[
        Path | None,
        typer.Option("--loso", show_default=False, help="Folder of one run a site, each trained with --leave-out."),
    ] = None,
    baseline: Annotated[
        Baseline | None, typer.Option("--baseline", show_default=False, help="Score this instead of a model.")
    ] = None,
    thorough: ThoroughOption = False,
) -> None:
    """Precision, recall and F1 at IoU 0.4 (the NEON protocol) and COCO AP of tree crowns, by site."""
    from vitapps.pipelines.rs.detector import DEFAULT_WEIGHTS
    from vitapps.pipelines.rs.evaluate import evaluate as score

    rows = score(
        data, weights=weights or DEFAULT_WEIGHTS, sites=site or (), baseline=baseline, loso=loso, thorough=thorough,
        options=run.options, progress=run.progress,
    )  # fmt: skip
    table = [
        (row.site, row.tiles, row.drawn, row.found, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}",
         f"{row.ap:.3f}", f"{row.ap50:.3f}")
        for row in rows
    ]  # fmt: skip
    header = ("site", "tiles", "drawn", "found", "precision", "recall", "F1@0.4", "AP", "AP50")
    run.emit({"rows": rows}, columns(header, table))


def _gsd(text: str) -> str | float:
    if text in ("auto", "native"):
        return text
    return numbers("--gsd", text, count=1, example="auto, native or metres such as 0.1")[0]


def _pair(option: str, text: str | None) -> tuple[float, float] | None:
    values = numbers(option, text, count=2, example="LOW,HIGH")
    return (values[0], values[1]) if values else None


def _region(text: str | None) -> tuple[float, float, float, float] | None:
    values = numbers("--region", text, count=4, example="MINX,MINY,MAXX,MAXY in CRS units")
    return (values[0], values[1], values[2], values[3]) if values else None
