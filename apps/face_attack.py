"""`vitapps face attack-test`: the margin of our own models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitapps.apps.console import InputArgument, Run, WeightsOption, command
from vitapps.apps.face_groups import app
from vitapps.apps.face_live import CropOption
from vitapps.apps.terminal import columns
from vitapps.errors import UsageError

ModelName = Literal["liveness", "deepfake", "embed"]


@command(app, "attack-test")
def attack_test(
    run: Run,
    picture: InputArgument,
    model: Annotated[
        ModelName | None,
        typer.Option("--model", show_default=False, help="Whose verdict is attacked; --features: of all without it."),
    ] = None,
    weights: WeightsOption = None,
    crop: CropOption = False,
    queries: Annotated[int, typer.Option("--queries", min=2, help="Of the model, for each strength.")] = 100,
    against: Annotated[
        Path | None, typer.Option("--against", show_default=False, help="With embed: the picture to be compared with.")
    ] = None,
    patch: Annotated[bool, typer.Option("--patch", help="Change one square wholly, as a sticker would.")] = False,
    features: Annotated[
        bool, typer.Option("--features", help="Attack what the encoders see, not the score (S003); needs torch.")
    ] = False,
) -> None:
    """How small a change of the pixels turns the verdict of our own models: a bound, not a guarantee."""
    if features:
        if patch or against:
            raise UsageError("--features with --patch or --against", hint="give --features alone")
        _attack_features(run, picture, model, weights, crop, queries)
        return
    if model is None:
        raise UsageError("no --model", hint="--model liveness, deepfake or embed; or --features for all of them")
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


def _attack_features(
    run: Run, picture: Path, model: ModelName | None, weights: str | None, crop: bool, queries: int
) -> None:
    """The table of margins: how far the features went and where the score ended, by grey levels."""
    from vitapps.pipelines.face.attack_encoders import attack_features

    margins = attack_features(
        picture, model, weights=weights, crop=crop, queries=queries, options=run.options, progress=run.progress
    )
    table = [
        (found.model, found.way, f"{found.start:.3f}", f"{found.threshold:.3f}",
         " ".join(f"{epsilon}:{shift:.2f}" for epsilon, shift in found.shift.items()),
         " ".join(f"{epsilon}:{score:.3f}" for epsilon, score in found.scores.items()),
         found.smallest or f"above {max(found.scores)}")
        for found in margins
    ]  # fmt: skip
    header = ("model", "by", "score", "threshold", "features moved by", "score after", "turned at grey levels")
    run.emit({"margins": margins}, columns(header, table))
