"""`vitapps face attack-test`: the margin of our own models."""

from __future__ import annotations

from pathlib import Path
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
    model: Annotated[
        Literal["liveness", "deepfake", "embed"], typer.Option("--model", help="Whose verdict is attacked.")
    ],
    weights: WeightsOption = None,
    crop: CropOption = False,
    queries: Annotated[int, typer.Option("--queries", min=2, help="Of the model, for each strength.")] = 100,
    against: Annotated[
        Path | None, typer.Option("--against", show_default=False, help="With embed: the picture to be compared with.")
    ] = None,
    patch: Annotated[bool, typer.Option("--patch", help="Change one square wholly, as a sticker would.")] = False,
) -> None:
    """How small a change of the pixels turns the verdict of our own model: a bound, not a guarantee."""
    from vitapps.pipelines.face.attack import attack
    from vitapps.pipelines.face.margin import PATCHES, STEPS

    margin = attack(
        picture, model, weights=weights, crop=crop, queries=queries, options=run.options, against=against, patches=patch
    )
    unit, last = ("% of the area", PATCHES[-1]) if patch else ("grey levels", STEPS[-1])
    table = [(strength, f"{score:.3f}") for strength, score in margin.best.items()]
    turned = (
        f"turned at {margin.smallest} {unit}" if margin.smallest else f"not turned, the bound is above {last} {unit}"
    )
    about = f"from {margin.start:.3f}, threshold {margin.threshold:.3f}: {turned}"
    run.emit({"margin": margin}, [*columns((unit, "score reached"), table), about])
