"""`vitapps face expression`, with its training and scoring."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vitapps.apps.console import InputArgument, Run, WeightsOption, command
from vitapps.apps.face_find import DataOption, ModelOption
from vitapps.apps.face_groups import app, eval_app, train_app
from vitapps.apps.face_live import CropOption, JsonFileOption
from vitapps.apps.face_tables import expression_lines


@command(app, "expression")
def expression(
    run: Run,
    picture: InputArgument,
    out: JsonFileOption = None,
    weights: WeightsOption = None,
    crop: CropOption = False,
    occlusion: Annotated[
        bool, typer.Option("--occlusion-aware", help="Find covered parts and fill them in first (experimental).")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="The faces as they were read: OUT.preview.png.")] = False,
) -> None:
    """Which of seven expressions each face of a picture shows; an expression is not an emotion."""
    from vitapps.pipelines.face.expression import ExpressionSettings, read_expressions

    result = read_expressions(
        picture, out, weights=weights, settings=ExpressionSettings(crop=crop, occlusion=occlusion, preview=preview),
        options=run.options, command=run.command_line,
    )  # fmt: skip
    lines = [
        f"{face.expression} ({max(face.probabilities.values()):.2f})"
        + ("" if face.covered is None else f", {face.covered:.0%} covered")
        for face in result.faces
    ]
    run.emit(asdict(result), lines or result.warnings)


@command(train_app, "expression")
def train_expression(run: Run, data: DataOption, out: ModelOption) -> None:
    """Fit the expression model on FER2013's training pictures (DATA/expression/fer2013/train/LABEL)."""
    from vitapps.pipelines.face.train_expression import train

    card = train(data, out, seed=run.options.seed, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(eval_app, "expression")
def evaluate_expression(run: Run, data: DataOption, weights: WeightsOption = None) -> None:
    """Accuracy on FER2013's public test, whole and with covered parts, beside HOG with an SVM."""
    from vitapps.pipelines.face.evaluate_expression import evaluate

    rows = evaluate(data, weights=weights, progress=run.progress)
    run.emit({"rows": rows}, expression_lines(rows))
