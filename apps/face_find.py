"""`vitapps face detect`, with training and scoring of the face finder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import Run, WeightsOption, command
from vitapps.apps.face_groups import app, eval_app, train_app
from vitapps.apps.face_tables import detect_lines
from vitapps.errors import ExitCode

DataOption = Annotated[Path, typer.Option("--data", show_default=False, help="Folder of faces, see docs/faces.md.")]
ModelOption = Annotated[
    Path, typer.Option("--out", "-o", show_default=False, help="Folder for the card and its files.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")]


@command(app, "detect", reduces=True)
def detect(
    run: Run,
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", show_default=False, help="Photographs (JPEG, PNG, WebP, TIFF …) or folders."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="JSON file; a folder for several inputs.")
    ] = None,
    weights: WeightsOption = None,
    preview: Annotated[bool, typer.Option("--preview", help="Draw boxes and landmarks: OUT.preview.png.")] = False,
    crops: Annotated[
        Path | None, typer.Option("--crops", show_default=False, help="Folder for aligned crops of the faces.")
    ] = None,
    crop_size: Annotated[int, typer.Option("--crop-size", help="Pixels a side of a crop.")] = 112,
    min_score: Annotated[
        float | None, typer.Option("--min-score", show_default=False, help="0 to 1; else the card's.")
    ] = None,
    min_face: Annotated[
        float | None,
        typer.Option("--min-face", show_default=False, help="Smallest face in pixels; else 1/64 of the longer side."),
    ] = None,
    turned: Annotated[
        bool, typer.Option("--turned", help="Also faces on their side and upside down: four times the work.")
    ] = False,
    tilted: Annotated[
        bool, typer.Option("--tilted", help="Also faces tilted by 25 to 55 degrees: three times the work or more.")
    ] = False,
) -> None:
    """Find faces: boxes, five landmarks, score and quality; a picture without faces is an answer, not an error."""
    from vitapps.pipelines.face.detect import DetectChoices, DetectResult, detect_many
    from vitapps.pipelines.face.find_faces import FindSettings

    choices = DetectChoices(
        find=FindSettings(min_score=min_score, min_face=min_face),
        turned=turned,
        tilted=tilted,
        preview=preview,
        crops=crops,
        crop_size=crop_size,
    )
    batch = detect_many(
        pictures, out, weights=weights, options=run.options, choices=choices, progress=run.progress,
        command=run.command_line,
    )  # fmt: skip

    def line(item: DetectResult) -> str:
        return f"{item.input}: {len(item.faces)} face{'s' * (len(item.faces) != 1)}" + (
            f", wrote {item.out}" if item.out else ""
        )

    if len(pictures) == 1 and not os.path.isdir(pictures[0]):
        run.emit(batch.done[0].to_json(), [line(batch.done[0])])
        return
    failures = [{"input": str(item.input), "error": str(item.error)} for item in batch.failed]
    run.emit({"results": [item.to_json() for item in batch.done], "failures": failures}, map(line, batch.done))
    if failures:  # each has been logged; under --json a second object would spoil stdout
        raise typer.Exit(ExitCode.PARTIAL)


@command(train_app, "detector")
def train_detector(
    run: Run,
    data: DataOption,
    out: ModelOption,
    backgrounds: Annotated[
        list[Path] | None, typer.Option("--backgrounds", show_default=False, help="Folder of pictures without faces.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2400,
    batch: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 16,
    resume: ResumeOption = False,
) -> None:
    """Train the face finder from marked faces and pictures without faces."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.face.train_detector import DetectorFit, train
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = DetectorFit(steps=steps, batch=batch, seed=run.options.seed, threads=run.options.threads or 1)
    card = train(
        data, out, backgrounds=backgrounds or (), config=config, device=device, resume=resume, progress=run.progress
    )
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(train_app, "landmarks")
def train_landmarks(
    run: Run,
    data: DataOption,
    out: ModelOption,
    samples: Annotated[int, typer.Option(min=1, help="Disturbed faces a stage.")] = 20000,
) -> None:
    """Fit the cascade that brings landmarks closer, from marked faces."""
    from vitapps.pipelines.face.train_landmarks import CascadeFit, train

    card = train(data, out, config=CascadeFit(samples=samples, seed=run.options.seed), progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(eval_app, "detect", reduces=True)
def evaluate_detect(
    run: Run,
    data: DataOption,
    weights: WeightsOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Pictures of each set.")] = 60,
    scenes: Annotated[
        bool, typer.Option("--scenes/--no-scenes", help="By face size in scenes, and without faces.")
    ] = True,
    baseline: Annotated[bool, typer.Option("--baseline/--no-baseline", help="The LBP cascade beside ours.")] = True,
) -> None:
    """Recall by set and face size and boxes where no face is, on faces that training kept back."""
    from vitapps.pipelines.face.evaluate_detector import evaluate_detector

    rows = evaluate_detector(
        data, weights=weights, limit=limit, scenes=scenes, baseline=baseline, options=run.options, progress=run.progress
    )
    run.emit({"rows": rows}, detect_lines(rows))
