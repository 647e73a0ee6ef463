"""`vitapps face deepfake`, with its training and scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import InputArgument, Run, WeightsOption, command
from vitapps.apps.face_groups import app, eval_app, train_app
from vitapps.apps.face_live import CropOption, JsonFileOption, ModelOption
from vitapps.apps.face_trust import DataOption
from vitapps.apps.terminal import columns


@command(app, "deepfake")
def deepfake(
    run: Run,
    picture: InputArgument,
    out: JsonFileOption = None,
    weights: WeightsOption = None,
    crop: CropOption = False,
    preview: Annotated[bool, typer.Option("--preview", help="What speaks for a fake: OUT.preview.png.")] = False,
) -> None:
    """Traces of blending in the face of a picture or clip; the verdict is withheld outside of the tested range."""
    from vitapps.pipelines.face.deepfake import Deepfake, DeepfakeSettings

    settings = DeepfakeSettings(crop=crop, preview=preview)
    result = Deepfake(weights, settings, run.options).judge(picture, out, command=run.command_line)
    lines = [f"{result.verdict} (score {result.score:.2f}, {result.frames} frame{'s' * (result.frames != 1)})"]
    run.emit(result.to_json(), lines + [f"note: {note}" for note in [*result.withheld, *result.warnings]])


@command(train_app, "deepfake")
def train_deepfake(
    run: Run,
    data: DataOption,
    out: ModelOption,
    swaps: Annotated[
        Path | None, typer.Option("--swaps", show_default=False, help="SOURCE/real and SOURCE/fake, only to score.")
    ] = None,
) -> None:
    """Fit the deepfake model on real faces with landmarks, blended with themselves."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.train_deepfake import train

    threads = run.options.threads or 1
    card = train(data, out, swaps=swaps, seed=run.options.seed, threads=threads, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(eval_app, "deepfake")
def evaluate_deepfake(
    run: Run,
    data: DataOption,
    weights: WeightsOption = None,
    robustness: Annotated[bool, typer.Option("--robustness", help="Also after JPEG, blur, scaling, noise.")] = False,
) -> None:
    """AUC on real swaps with 95 % intervals by video, generated faces apart, beside two measures without training."""
    from vitapps.pipelines.face.deepfake_eval import evaluate

    report = evaluate(data, weights=weights, robustness=robustness, progress=run.progress)
    table = [
        (row.source, row.method, row.pictures, row.videos, f"{row.auc:.3f}", f"{row.low:.2f} to {row.high:.2f}")
        for row in report.rows
    ]
    lines = columns(("source", "method", "pictures", "videos", "AUC", "95 %"), table)
    if report.robustness:
        lines += ["", *columns(("all swaps after", "AUC"), [(k, f"{v:.3f}") for k, v in report.robustness.items()])]
    run.emit({"rows": report.rows, "robustness": report.robustness}, lines)
