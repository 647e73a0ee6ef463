"""`vitapps medical`: segment scans, score segmentations, train the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import Run, WeightsOption, command, group
from vitapps.errors import ExitCode, UsageError

app = group("Medical imaging: segment MR and CT scans.")
train_app = group("Train an embedded model again, from its published recipe.")
app.add_typer(train_app, name="train")

_INSIDE = "Which scan in the input"
ScansArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        show_default=False,
        help="NIfTI, NRRD, MHA, MGZ, DICOM (folder, file, zip), or a folder of them.",
    ),
]
SegmentationOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", show_default=False, help="Label map (.nii.gz .nii .nrrd .dcm), or a folder."),
]
FormatOption = Annotated[
    str | None, typer.Option("--format", show_default=False, help="nifti, nrrd or dicom-seg; else by the suffix of -o.")
]
StructuresOption = Annotated[
    list[str] | None,
    typer.Option("--labels", show_default=False, help="Keep only these structures: names or numbers; all: also CSF."),
]
MaskOption = Annotated[bool, typer.Option("--mask", help="Write one mask of the whole brain instead.")]
PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw three planes with contours: OUT.preview.png.")]
VolumesOption = Annotated[
    Path | None, typer.Option("--volumes", show_default=False, help="Volumes in mL as .csv or .json.")
]
KeepOption = Annotated[
    bool, typer.Option("--keep-largest/--no-keep-largest", help="Remove islands and specks, fill holes.")
]
RefineOption = Annotated[
    bool, typer.Option("--refine/--no-refine", help="Fit the brightness of each tissue to this scan.")
]
TtaOption = Annotated[bool, typer.Option("--tta", help="Average with the mirrored scan; twice the time.")]
SeriesOption = Annotated[
    str | None,
    typer.Option("--series", show_default=False, rich_help_panel=_INSIDE, help="DICOM SeriesInstanceUID, or its end."),
]
VolumeOption = Annotated[
    int | None,
    typer.Option("--volume", show_default=False, rich_help_panel=_INSIDE, help="Which volume of 4-D data, from 0."),
]


@command(app, "segment", reduces=True)
def segment(
    run: Run,
    scans: ScansArgument,
    out: SegmentationOption = None,
    weights: WeightsOption = None,
    output_format: FormatOption = None,
    structures: StructuresOption = None,
    mask: MaskOption = False,
    preview: PreviewOption = False,
    volumes: VolumesOption = None,
    keep_largest: KeepOption = True,
    refine: RefineOption = True,
    tta: TtaOption = False,
    series: SeriesOption = None,
    volume: VolumeOption = None,
) -> None:
    """Segment the structures of scans; the label map has the scan's own grid, its run record lies beside it."""
    from vitapps.pipelines.medical.inputs import scans_in
    from vitapps.pipelines.medical.segment import segment as segment_one
    from vitapps.pipelines.medical.segment import segment_many
    from vitapps.pipelines.medical.segment_types import SegmentChoices

    choices = SegmentChoices(
        format=output_format, structures=tuple(word for item in structures or () for word in item.split(",")),
        mask=mask, preview=preview, volumes=volumes,
        keep_largest=keep_largest, refine=refine, tta=tta, series=series, volume=volume,
    )  # fmt: skip
    shared = {
        "weights": weights, "options": run.options, "choices": choices, "progress": run.progress,
        "command": run.command_line,
    }  # fmt: skip
    scans = scans_in(scans)
    if len(scans) == 1:
        result = segment_one(scans[0], out, **shared)  # type: ignore[arg-type]
        run.emit(result.to_json(), _volume_lines(result))
        return
    batch = segment_many(scans, out, **shared)  # type: ignore[arg-type]
    run.emit(
        {
            "results": [done.to_json() for done in batch.results],
            "failures": [{"input": str(path), "error": str(error)} for path, error in batch.failures],
        },
        [f"wrote {done.out} ({done.total_ml:.0f} mL)" for done in batch.results],
    )
    if batch.failures:  # each has been logged; under --json a second object would spoil stdout
        raise typer.Exit(ExitCode.PARTIAL)


@command(app, "eval", reduces=True)
def evaluate(
    run: Run,
    maps: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PRED TRUTH]", show_default=False, help="Two label maps: the prediction, the truth."),
    ] = None,
    scan: Annotated[Path | None, typer.Option("--scan", show_default=False, help="Segment this, then score.")] = None,
    truth: Annotated[Path | None, typer.Option("--truth", show_default=False, help="The truth for --scan.")] = None,
    mapping: Annotated[
        Path | None, typer.Option("--labels", show_default=False, help="JSON: truth numbers to model numbers.")
    ] = None,
    merge: Annotated[
        str | None, typer.Option("--merge", show_default=False, help="Score all foreground as one label of this name.")
    ] = None,
    skip: Annotated[
        list[int] | None, typer.Option("--skip", show_default=False, help="Leave this number of the truth out.")
    ] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Of the surface Dice, in mm.")] = 1.0,
    csv: Annotated[Path | None, typer.Option("--csv", show_default=False, help="Write the table here.")] = None,
    weights: WeightsOption = None,
    tta: TtaOption = False,
    refine: RefineOption = True,
) -> None:
    """Dice, HD95 (mm) and surface Dice by label, against a ground truth."""
    from vitapps.pipelines.medical.evaluate import EvalChoices, evaluate_scan
    from vitapps.pipelines.medical.evaluate import evaluate as evaluate_map
    from vitapps.pipelines.medical.segment_types import SegmentChoices

    choices = EvalChoices(mapping=mapping, merge=merge, skip=tuple(skip or ()), tolerance_mm=tolerance, csv=csv)
    if scan is not None and truth is not None and not maps:
        result = evaluate_scan(
            scan, truth, weights=weights, choices=choices,
            segment=SegmentChoices(mask=merge is not None, tta=tta, refine=refine), options=run.options,
            progress=run.progress,
        )  # fmt: skip
    elif maps and len(maps) == 2 and scan is None and truth is None:
        result = evaluate_map(maps[0], maps[1], choices=choices, options=run.options, progress=run.progress)
    else:
        raise UsageError("two label maps, or --scan with --truth", hint="vitapps medical eval PRED.nii.gz TRUTH.nii.gz")
    run.emit(result.to_json(), _score_lines(result))


@command(train_app, "brain")
def train_brain(
    run: Run,
    labelmaps: Annotated[Path, typer.Option("--labelmaps", show_default=False, help="Folder of head label maps.")],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    stages: Annotated[
        str | None, typer.Option("--stages", show_default="3:9000,2:4000", help="SPACING in mm:STEPS, in turn.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints in --out.")] = False,
) -> None:
    """Train the brain model from label maps alone; every scan it sees is synthetic."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.medical.train_brain import STAGES, parse_stages, train
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    card = train(
        labelmaps, out, stages=parse_stages(stages) if stages else STAGES, seed=run.options.seed, device=device,
        resume=resume, threads=run.options.threads or 1, progress=run.progress,
    )  # fmt: skip
    run.emit({"card": str(card)}, [f"wrote {card}"])


def _volume_lines(result: object) -> list[str]:
    from vitapps.pipelines.medical.segment_types import SegmentResult

    assert isinstance(result, SegmentResult)
    rows = [f"{label.value:>6}  {label.name:<34} {label.ml:>10.2f} mL" for label in result.labels if label.voxels]
    return [*rows, f"wrote {result.out} ({result.total_ml:.0f} mL in all)"]


def _score_lines(result: object) -> list[str]:
    from vitapps.pipelines.medical.evaluate import EvalResult

    assert isinstance(result, EvalResult)
    head = f"{'label':>6}  {'name':<34} {'Dice':>6} {'HD95 mm':>8} {'surface':>8} {'truth mL':>9} {'pred mL':>9}"
    rows = [
        f"{s.value:>6}  {s.name:<34} {s.dice:>6.3f} {s.hd95_mm:>8.2f} {s.surface_dice:>8.3f} {s.truth_ml:>9.2f} "
        f"{s.pred_ml:>9.2f}"
        for s in result.labels
    ]
    dice, distance, surface = (result.mean(name) for name in ("dice", "hd95_mm", "surface_dice"))
    means = f"{'mean':>6}  {f'of {len(rows)} labels':<34} {dice:>6.3f} {distance:>8.2f} {surface:>8.3f}"
    return [head, *rows, means]
