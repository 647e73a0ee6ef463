"""`vitapps face localize`, with its calibration and scoring: where a photograph was edited."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import InputArgument, OutputOption, Run, WeightsOption, command, group
from vitapps.apps.face_groups import app, eval_app, train_app
from vitapps.apps.face_tables import localize_lines, trade_off_lines
from vitapps.pipelines.face.evidence.kinds import FALSE_ALARMS, MISSED, EvidenceName

calibrate_app = group("Fit operating points on your own pictures.")
app.add_typer(calibrate_app, name="calibrate")

PreviewOption = Annotated[bool, typer.Option("--preview", help="Draw the map over the picture: OUT.preview.png.")]
CalibrationOption = Annotated[
    Path | None, typer.Option("--calibration", show_default=False, help="A file of `vitapps face calibrate`.")
]
AlarmsOption = Annotated[
    float, typer.Option("--false-alarms", min=0.001, max=0.5, help="Of the untouched, called altered.")
]
MissedOption = Annotated[float, typer.Option("--missed", min=0.001, max=0.5, help="Of the altered, called untouched.")]
DataOption = Annotated[Path, typer.Option("--data", show_default=False, help="Folder of the data set.")]


@command(app, "localize")
def localize(
    run: Run,
    picture: InputArgument,
    out: OutputOption,
    evidence: Annotated[EvidenceName, typer.Option("--evidence", help="All traces as one map, or one kind.")] = "all",
    threshold: Annotated[float, typer.Option("--threshold", help="Of the mask, 0 to 1.")] = 0.5,
    weights: WeightsOption = None,
    soft: Annotated[bool, typer.Option("--soft", help="Write the map, 0 to 255, in place of the mask.")] = False,
    calibration: CalibrationOption = None,
    preview: PreviewOption = False,
) -> None:
    """Where a photograph was edited: a mask (PNG, 255 = edited) from traces of compression, noise and copying."""
    from vitapps.pipelines.face.evidence.fuse import Calibration
    from vitapps.pipelines.face.localize import LocalizeSettings
    from vitapps.pipelines.face.localize import localize as search
    from vitapps.pipelines.face.localize_calibrate import read_calibration

    curve = read_calibration(calibration) if calibration else Calibration()
    settings = LocalizeSettings(
        evidence=evidence, threshold=threshold, soft=soft, preview=preview, weights=weights, calibration=curve
    )
    result = search(picture, out, settings, options=run.options, progress=run.progress, command=run.command_line)
    run.emit(
        result.to_json(),
        [f"wrote {result.out}: {result.verdict} (score {result.score:.2f}), {result.edited_share:.1%} marked"],
    )


@command(calibrate_app, "localize")
def calibrate_localize(
    run: Run,
    pictures: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False, help="Untouched photographs.")],
    out: OutputOption,
    number: Annotated[int, typer.Option("--number", min=8, help="Pictures made of them, every second edited.")] = 120,
    false_alarms: AlarmsOption = FALSE_ALARMS,
    missed: MissedOption = MISSED,
) -> None:
    """Fit the operating point of `face localize` on pictures of yours, edited by the documented generator; prints what
    other error rates would leave unsure."""
    from vitapps.atomic import check_output, write_text
    from vitapps.pipelines.face.localize_calibrate import calibrate, calibration_text

    check_output(out, overwrite=run.options.overwrite, sources=[pictures])
    fit = calibrate(
        pictures, number=number, false_alarms=false_alarms, missed=missed, seed=run.options.seed, progress=run.progress
    )
    found, curve = fit.calibration, fit.calibration.picture
    write_text(out, calibration_text(found), overwrite=run.options.overwrite)
    said = f"edited from {curve.edited_from:g}, no trace below {curve.none_below:g}"
    run.emit(
        {"output": out, "calibration": found, "trade_off": fit.trade_off},
        [
            *trade_off_lines(fit.trade_off),
            "",
            f"wrote {out}: map offset {found.offset:g}, slope {found.slope:g}; picture {said}",
        ],
    )


@command(train_app, "localizer")
def train_localizer(
    run: Run,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card and weights.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2000,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="From the pixels alone, not from the traces: needs a GPU's time.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train an IML-ViT on edits of untouched photographs, for `face localize --weights`."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.train_localizer import ON_PIXELS, ON_TRACES, LocalizerFit, train
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = LocalizerFit(
        steps=steps, seed=run.options.seed, threads=run.options.threads or 1, model=ON_PIXELS if pixels else ON_TRACES
    )
    card = train(data, out, config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(eval_app, "localize")
def evaluate_localize(
    run: Run, data: DataOption, weights: WeightsOption = None, calibration: CalibrationOption = None
) -> None:
    """Pixel F1 (best and at 0.5), picture AUC and verdicts by source: all evidence beside each classical trace, and a
    network of --weights beside them."""
    from vitapps.pipelines.face.evidence.network import Localizer
    from vitapps.pipelines.face.localize_calibrate import read_calibration
    from vitapps.pipelines.face.localize_eval import evaluate

    network = Localizer.load(weights, run.options) if weights else None
    report = evaluate(data, read_calibration(calibration) if calibration else None, run.progress, network=network)
    run.emit({"rows": report.rows, "verdicts": report.verdicts, "bars": report.bars}, localize_lines(report))
