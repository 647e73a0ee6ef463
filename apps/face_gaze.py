"""`vitapps face gaze`."""

from __future__ import annotations

from typing import Annotated

import typer

from vitapps.apps.console import InputArgument, Run, WeightsOption, command
from vitapps.apps.face_groups import app
from vitapps.apps.face_live import JsonFileOption


@command(app, "gaze")
def gaze(
    run: Run,
    picture: InputArgument,
    out: JsonFileOption = None,
    weights: WeightsOption = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head", show_default=False, help="x,y,width,height in pixels; again; else faces are looked for."
        ),
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Maps and lines: OUT.preview.png.")] = False,
) -> None:
    """Where the people of a picture look, by published ViTGaze weights (--weights FILE): experimental, none ships."""
    from vitapps.pipelines.face.gaze import follow_gazes, head_box

    result = follow_gazes(
        picture, out, weights=weights, heads=[head_box(text) for text in head or []], preview=preview,
        options=run.options, progress=run.progress, command=run.command_line,
    )  # fmt: skip
    lines = [
        f"head at {person.head[0]:.0f},{person.head[1]:.0f}: looks at {person.target[0]:.0f},{person.target[1]:.0f}"
        f" (in the picture {person.inside:.2f})"
        for person in result.people
    ]
    run.emit(result.to_json(), lines or ["no head was given and no face found"])
