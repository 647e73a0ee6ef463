"""`vitapps face attack-test`: the margin of our own models."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from vitapps.apps.console import InputArgument, Run, WeightsOption, command
from vitapps.apps.face_groups import app
from vitapps.apps.face_live import CropOption
from vitapps.apps.terminal import columns


@command(app, "attack-test")
def attack_test(
    run: Run,
    picture: InputArgument,
    model: Annotated[Literal["liveness", "deepfake"], typer.Option("--model", help="Whose verdict is attacked.")],
    weights: WeightsOption = None,
    crop: CropOption = False,
    queries: Annotated[int, typer.Option("--queries", min=2, help="Of the model, for each epsilon.")] = 100,
) -> None:
    """How small a change of the pixels turns the verdict of liveness or deepfake: a bound, not a guarantee."""
    from vitapps.pipelines.face.attack import attack

    margin = attack(picture, model, weights=weights, crop=crop, queries=queries, options=run.options)
    table = [(epsilon, f"{score:.3f}") for epsilon, score in margin.best.items()]
    turned = f"turned at {margin.smallest} grey levels" if margin.smallest else "not turned: the bound is above 16"
    lines = [*columns(("grey levels", "score reached"), table), f"from {margin.start:.3f}, {turned}"]
    run.emit({"margin": margin}, lines)
