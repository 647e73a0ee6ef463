"""`vitapps face deepfake`, with its training and scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import InputArgument, OutputOption, Run, WeightsOption, command
from vitapps.apps.face_groups import app, eval_app, train_app
from vitapps.apps.face_live import CropOption, JsonFileOption, ModelOption
from vitapps.apps.face_tables import deepfake_lines, trade_off_lines
from vitapps.apps.face_trust import AlarmsOption, CalibrationOption, DataOption, MissedOption, calibrate_app

FacesOption = Annotated[
    list[Path], typer.Option("--data", show_default=False, help="Folder or table of real faces with landmarks; again.")
]
SwapsOption = Annotated[
    Path | None, typer.Option("--swaps", show_default=False, help="SOURCE/real and SOURCE/fake, only to score.")
]


@command(app, "deepfake", reduces=True)
def deepfake(
    run: Run,
    picture: InputArgument,
    out: JsonFileOption = None,
    weights: WeightsOption = None,
    calibration: CalibrationOption = None,
    crop: CropOption = False,
    preview: Annotated[bool, typer.Option("--preview", help="What speaks for a fake: OUT.preview.png.")] = False,
) -> None:
    """Traces of blending in the face of a picture or clip; the verdict is withheld outside of the tested range."""
    from vitapps.pipelines.face.deepfake import Deepfake, DeepfakeSettings

    settings = DeepfakeSettings(crop=crop, band=calibration, preview=preview)
    result = Deepfake(weights, settings, run.options).judge(picture, out, command=run.command_line)
    lines = [f"{result.verdict} (score {result.score:.2f}, {result.frames} frame{'s' * (result.frames != 1)})"]
    lines += [f"note: {note}" for note in [*result.withheld, *result.warnings]]
    tested = result.tested
    lines.append(
        f"fake from {tested['fake_from']:.2f}, no trace below {tested['none_below']:.2f}; on real swaps AUC"
        f" {tested['swap_auc']:.2f} ({tested['low']:.2f} to {tested['high']:.2f})"
    )
    run.emit(result.to_json(), lines)


@command(calibrate_app, "deepfake", reduces=True)
def calibrate_deepfake(
    run: Run,
    data: FacesOption,
    out: OutputOption,
    weights: WeightsOption = None,
    pairs: Annotated[int, typer.Option(min=10, help="Faces drawn, each untouched and blended.")] = 400,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Only people whom `face train deepfake` leaves out, by name.")
    ] = False,
    false_alarms: AlarmsOption = 0.05,
    missed: MissedOption = 0.05,
) -> None:
    """Fit the scores at which `face deepfake` speaks on blends of real faces; prints what other rates would leave
    unsure."""
    from vitapps.atomic import check_output, write_text
    from vitapps.datasets.sets.face_fakes import read_marked
    from vitapps.pipelines.face.deepfake_band import band_text, fit_on_blends
    from vitapps.pipelines.face.deepfake_model import DeepfakeModel

    check_output(out, overwrite=run.options.overwrite, sources=data)
    model = DeepfakeModel.load(weights, run.options)
    found = fit_on_blends(
        model, [read_marked(each) for each in data], pairs=pairs, only_held_out=held_out,
        rates=(false_alarms, missed), seed=run.options.seed, options=run.options, progress=run.progress,
    )  # fmt: skip
    write_text(out, band_text(found, model.facts.name), overwrite=run.options.overwrite)
    said = f"fake from {found.fake_from:g}, no trace below {found.none_below:g}; AUC of the blends {found.auc:.3f}"
    run.emit(
        {"output": out, "model": model.facts.name, "calibration": found},
        [*trade_off_lines(found.trade_off), "", f"wrote {out}: {said}"],
    )


@command(train_app, "deepfake")
def train_deepfake(
    run: Run,
    data: FacesOption,
    out: ModelOption,
    swaps: SwapsOption = None,
    pairs: Annotated[int, typer.Option(min=2, help="Untouched and blended, of all faces together.")] = 3600,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2200,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from what is in --out.")] = False,
) -> None:
    """Train the deepfake model on real faces with landmarks, blended with themselves and with one another."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.train_deepfake import DeepfakeFit, train

    config = DeepfakeFit(pairs=pairs, steps=steps, seed=run.options.seed, threads=run.options.threads or 1)
    card = train(data, out, config, swaps=swaps, device=_device(run), resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(train_app, "deepfake-tower")
def train_deepfake_tower(
    run: Run,
    tower: Annotated[
        str, typer.Option("--tower", show_default=False, help="timm:NAME, hf:OWNER/REPO, or a folder of CLIP.")
    ],
    data: FacesOption,
    out: ModelOption,
    swaps: SwapsOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 1000,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Tune the norms of a published CLIP or DINO tower, with a new head, on blends of real faces (S104)."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.train_deepfake_tower import TowerFit, train

    config = TowerFit(steps=steps, seed=run.options.seed, threads=run.options.threads or 1)
    card = train(data, tower, out, config, swaps=swaps, device=_device(run), resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(eval_app, "deepfake", reduces=True)
def evaluate_deepfake(
    run: Run,
    data: DataOption,
    weights: WeightsOption = None,
    robustness: Annotated[
        bool, typer.Option("--robustness/--no-robustness", help="Also after JPEG, blur, scaling, noise.")
    ] = True,
) -> None:
    """AUC on real swaps with 95 % intervals by video, generated faces apart, beside two measures without training."""
    from vitapps.pipelines.face.deepfake_eval import evaluate

    report = evaluate(
        data, weights=weights, robustness=robustness, options=run.options, progress=run.progress
    )  # fmt: skip
    run.emit(
        {
            "rows": report.rows, "verdicts": report.verdicts, "robustness": report.robustness,
            "unmarked": report.unmarked,
        },
        deepfake_lines(report),
    )  # fmt: skip


def _device(run: Run) -> str:
    """That of a training: the GPU where there is one."""
    from vitapps.pipelines.runtime.devices import cuda_devices

    return run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
