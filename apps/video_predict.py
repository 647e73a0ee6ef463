"""`vitapps video predict`, and `train predict`, `eval predict`: the frames that come next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import Run, WeightsOption, command
from vitapps.apps.terminal import columns
from vitapps.apps.video_learn import ClipArgument, DecoderOption, StrideOption

DigitsOption = Annotated[
    Path, typer.Option("--data", show_default=False, help="Digits: .npz with 'images' N H W, or an IDX file of MNIST.")
]
HeldOption = Annotated[int, typer.Option("--held", min=1, help="Digits at the end of the set that only score.")]
own, own_train, own_eval = typer.Typer(), typer.Typer(), typer.Typer()


@command(own_train, "predict")
def train_predict(
    run: Run,
    data: DigitsOption,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps.")] = 2200,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Sequences a step.")] = 8,
    rate: Annotated[float, typer.Option("--rate", help="Learning rate.")] = 1e-3,
    dim: Annotated[int, typer.Option("--dim", min=8, help="Width of the network.")] = 128,
    layout: Annotated[str, typer.Option("--layout", help="Attention: letters S (space), T (time), F (full).")] = "TSST",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="How often the layout is repeated.")] = 2,
    held: HeldOption = 1000,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train a PredFormer on two drifting digits (Moving MNIST), made from a set of digits."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.runtime.devices import cuda_devices
    from vitapps.pipelines.video.train_predict import PredictFit, train

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = PredictFit(
        steps=steps, batch=batch, rate=rate, dim=dim, layout=layout, repeats=repeats, held=held,
        seed=run.options.seed, threads=run.options.threads or 1,
    )  # fmt: skip
    card = train(data, out, config=config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


@command(own, "predict")
def predict(
    run: Run,
    clip: ClipArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", show_default=False, help="File: .npz (frames in 0..1, time_s) or .mp4.")
    ],
    horizon: Annotated[int, typer.Option("--horizon", help="How many frames.")] = 10,
    at: Annotated[
        float | None,
        typer.Option("--at", show_default=False, help="Second of the first predicted frame; else after the end."),
    ] = None,
    stride: StrideOption = 1,
    weights: WeightsOption = None,
    preview: Annotated[bool, typer.Option("--preview", help="Draw seen, predicted, true: OUT.preview.png.")] = False,
    decoder: DecoderOption = "auto",
) -> None:
    """Predict the next frames of a clip (or of an .npy of T H W); where the clip goes on, score them."""
    from vitapps.pipelines.video import predict as pipeline
    from vitapps.pipelines.video.predict_model import NAME

    settings = pipeline.PredictSettings(horizon=horizon, at=at, stride=stride, decoder=decoder, preview=preview)
    result = pipeline.predict(
        clip, out, weights=weights or NAME, settings=settings, options=run.options, progress=run.progress,
        command=run.command_line,
    )  # fmt: skip
    lines = [f"wrote {result.out}: {result.frames} frames from {result.at_s:g} s on"]
    if result.score and result.copy_last:
        lines += [
            f"{name}: MSE {score.mse:.1f}, SSIM {score.ssim:.3f} on {score.frames} frames"
            for name, score in (("predicted", result.score), ("last frame again", result.copy_last))
        ]
    run.emit(result.to_json(), lines)


@command(own_eval, "predict")
def eval_predict(
    run: Run,
    data: DigitsOption,
    weights: WeightsOption = None,
    sequences: Annotated[int, typer.Option("--sequences", min=1, help="How many.")] = 200,
    held: HeldOption = 1000,
) -> None:
    """MSE, MAE, SSIM and frames a second on moving digits held back, beside rules that need no training."""
    from vitapps.pipelines.video.evaluate_predict import evaluate
    from vitapps.pipelines.video.predict_model import NAME

    rows = evaluate(
        data, weights=weights or NAME, held=held, sequences=sequences, options=run.options, progress=run.progress
    )  # fmt: skip
    table = [
        (row.method, f"{row.score.mse:.1f}", f"{row.score.mae:.1f}", f"{row.score.ssim:.3f}", f"{row.fps:.0f}")
        for row in rows
    ]
    run.emit({"rows": [row.to_json() for row in rows]}, columns(("method", "MSE", "MAE", "SSIM", "FPS"), table))
