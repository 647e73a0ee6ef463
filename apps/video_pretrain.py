"""`vitapps video pretrain`: clip networks from clips without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitapps.apps.console import Run, command
from vitapps.apps.video_learn import RootOption

own = typer.Typer()
Method = Literal["videomae2", "adamae", "vjepa", "umt"]


@command(own, "pretrain")
def pretrain(
    run: Run,
    data: Annotated[Path, typer.Option("--data", show_default=False, help="A list of clips, or a folder of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    method: Annotated[Method, typer.Option("--method", help="What is learned without labels.")] = "videomae2",
    teacher: Annotated[str, typer.Option("--teacher", help="Image network of umt: timm:NAME, hf:REPO, a card.")] = "",
    root: RootOption = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps.")] = 1000,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Windows a step.")] = 8,
    frames: Annotated[int, typer.Option("--frames", min=2, help="Of a window.")] = 16,
    stride: Annotated[int, typer.Option("--stride", min=1, help="Every n-th frame of the clip.")] = 2,
    size: Annotated[int, typer.Option("--size", min=32, help="Pixels a side; umt: that of the teacher.")] = 112,
    dim: Annotated[int, typer.Option("--dim", min=12, help="Width of the network; 64 a head.")] = 192,
    depth: Annotated[int, typer.Option("--depth", min=1, help="Blocks of the network.")] = 6,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Pre-train a clip network on clips without labels; its card is for `video embed` and `video probe`."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.runtime.devices import cuda_devices
    from vitapps.pipelines.video.pretrain import PretrainFit
    from vitapps.pipelines.video.pretrain import pretrain as pipeline

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = PretrainFit(
        method=method, teacher=teacher, steps=steps, batch=batch, frames=frames, stride=stride, size=size, dim=dim,
        depth=depth, heads=max(1, dim // 64), seed=run.options.seed, threads=run.options.threads or 1,
    )  # fmt: skip
    card = pipeline(data, out, root=root, config=config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])
