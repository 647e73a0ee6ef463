"""`vitapps doc layout`, `doc eval-layout`, `doc train detector|layout`: from a page's pixels to its lines."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from vitapps.apps.console import InputArgument, Run, WeightsOption, command
from vitapps.apps.doc_ocr import DetectorOption, LayoutOption
from vitapps.apps.terminal import columns


def add_commands(app: typer.Typer, train_app: typer.Typer) -> None:
    """Register the commands of this file with `vitapps doc` and `vitapps doc train`."""
    command(app, "layout")(layout)
    command(app, "eval-layout")(evaluate_layout)
    command(train_app, "detector")(train_detector)
    command(train_app, "layout")(train_layout)


def layout(
    run: Run,
    page: InputArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="JSON file to write; --json prints it.")
    ] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Draw blocks and lines: OUT.preview.png.")] = False,
    detector: DetectorOption = "auto",
    blocks: LayoutOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Find the lines, blocks, pictures and reading order of a page, without reading it."""
    from vitapps.pipelines.document.lay_out import lay_out

    result = lay_out(
        page, out, preview=preview, detector=detector, layout=blocks, weights=weights,
        options=run.options, command=run.command_line
    )  # fmt: skip
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kinds.items()) or "no writing"
    lines = [f"{result.lines} lines in {result.blocks} blocks ({kinds}); turned {result.rotation}, skew {result.skew}"]
    lines += [f"wrote {path}" for path in (result.out, result.preview) if path is not None]
    run.emit(dataclasses.asdict(result), lines)


def evaluate_layout(
    run: Run,
    data: Annotated[
        Path,
        typer.Option("--data", show_default=False, help="Folder with sroie, icdar15, publaynet, pages or docbank."),
    ],
    weights: WeightsOption = None,
    detector: Annotated[
        str | None, typer.Option(show_default=False, help="Card of a network that finds the lines; else components.")
    ] = None,
    blocks: Annotated[
        str | None, typer.Option("--layout", show_default=False, help="Card of a network for blocks; else page-layout.")
    ] = None,
) -> None:
    """Score line finding on receipts, blocks on journal pages, and quarter turns on whole pages."""
    from vitapps.pipelines.document.evaluate_layout import evaluate_layout as score

    rows = score(
        data, weights=weights, detector=detector, layout=blocks, options=run.options, progress=run.progress
    )  # fmt: skip
    table = [
        (row.measure, row.pages, f"{row.right}/{row.total}", f"{row.score:.3f}",
         "" if row.precision is None else f"{row.precision:.3f}", "" if row.recall is None else f"{row.recall:.3f}",
         f"{row.seconds:.2f}")
        for row in rows
    ]  # fmt: skip
    header = ("measure", "pages", "right", "score", "precision", "recall", "CPU s/page")
    run.emit({"rows": rows}, columns(header, table))


def train_detector(
    run: Run,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 4000,
    batch: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 6,
    windows: Annotated[int, typer.Option(min=1, help="Windows cut from each page.")] = 12,
    grounds: Annotated[
        list[Path] | None, typer.Option(help="Folder of pictures without writing, to lay signs on; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the text detector from scratch on synthetic pages."""
    device = _device(run)
    from vitapps.pipelines.document.train_detector import DetectorFit, train

    config = DetectorFit(
        steps=steps, batch=batch, windows=windows, seed=run.options.seed, threads=run.options.threads or 1,
        grounds=tuple(grounds or ()),
    )  # fmt: skip
    card = train(out, config=config, device=device, resume=resume, progress=run.progress)
    run.emit({"card": str(card)}, [f"wrote {card}"])


def train_layout(
    run: Run,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    pages: Annotated[int, typer.Option(min=2, help="Synthetic pages to look at.")] = 640,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 5000,
    batch: Annotated[int, typer.Option(min=1, help="Pages a step.")] = 4,
    weights: WeightsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the layout head on the frozen trunk of a text detector (--weights: its card), on synthetic pages."""
    device = _device(run)
    from vitapps.pipelines.document.detect_lines import LineDetector
    from vitapps.pipelines.document.train_layout import LayoutFit, train

    config = LayoutFit(
        pages=pages, steps=steps, batch=batch, seed=run.options.seed, threads=run.options.threads or 1
    )  # fmt: skip
    detector = LineDetector.load(weights, run.options)
    card, found = train(out, config=config, detector=detector, device=device, resume=resume, progress=run.progress)
    told = f"{found.pages} pages held out: {found}" if found.pages else "too few pages to hold one of twenty out"
    run.emit({"card": str(card), "check": found}, [f"wrote {card}", told])


def _device(run: Run) -> str:
    """Where to train; MissingError without torch."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.runtime.devices import cuda_devices

    return run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
