"""`vitapps doc layout`, `doc eval-layout`, `doc train detector`: from a page's pixels to its lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import Run, command


def add_commands(app: typer.Typer, train_app: typer.Typer) -> None:
    """Register the commands of this file with `vitapps doc` and `vitapps doc train`."""
    command(train_app, "detector")(train_detector)


def train_detector(
    run: Run,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2000,
    pages: Annotated[int, typer.Option(min=1, help="Pages rendered a step.")] = 2,
    windows: Annotated[int, typer.Option(min=1, help="Windows cut from each page.")] = 3,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the text detector from scratch on synthetic pages."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.document.train_detector import DetectorFit, train
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = DetectorFit(
        steps=steps, pages=pages, windows=windows, seed=run.options.seed, threads=run.options.threads or 1
    )
    card = train(out, config=config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])
