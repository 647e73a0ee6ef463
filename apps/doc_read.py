"""`vitapps doc read`, `synth`, `eval-lines`, `train recognizer|words|confidence`: lines and their recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitapps.apps.console import Run, WeightsOption, command
from vitapps.apps.terminal import columns

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.reliability import ReliabilityBin

FolderOption = Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder to write to.")]
WordsOption = Annotated[
    Path | None,
    typer.Option("--words", show_default=False, help="A word list, frequent words first, one a line; .gz too."),
]
Worst = Annotated[int, typer.Option(min=0, help="Print so many of the lines that were read wrong.")]


def add_commands(app: typer.Typer, train_app: typer.Typer) -> None:
    """Register the commands of this file with `vitapps doc` and `vitapps doc train`."""
    command(app, "read", reduces=True)(read)
    command(app, "synth")(synth)
    command(app, "eval-lines", reduces=True)(eval_lines)
    command(train_app, "recognizer")(train_recognizer)
    command(train_app, "words")(train_words)
    command(train_app, "confidence")(train_confidence)


def read(
    run: Run,
    crops: Annotated[
        list[Path], typer.Argument(metavar="CROP...", show_default=False, help="Pictures of one line or word each.")
    ],
    weights: WeightsOption = None,
) -> None:
    """Read pictures that hold one line or one word each, and print a line of text for each."""
    from vitapps.pipelines.document.read_crops import read_crops

    found = read_crops(crops, weights=weights, options=run.options)
    run.emit({"lines": found.readings, "networks": found.networks}, [item.reading.text for item in found.readings])


def synth(
    run: Run,
    out: FolderOption,
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="Samples.")] = 100,
    kind: Annotated[Literal["line", "page", "journal", "photo"], typer.Option(help="What to draw.")] = "line",
    strength: Annotated[float, typer.Option(min=0, max=1, help="Of the defects; 0: clean print.")] = 1.0,
    words: WordsOption = None,
    regions: Annotated[
        bool, typer.Option("--regions", help="Of pages: their regions drawn too: NUMBER.png.preview.png.")
    ] = False,
    camera: Annotated[
        float, typer.Option(min=0, max=1, help="Share of lines seen by a camera: bent, moire, few dots, show-through.")
    ] = 0.0,
) -> None:
    """Draw samples of the training data with their text: NUMBER.png and NUMBER.gt.txt."""
    from vitapps.pipelines.document.synth_samples import SampleSettings, write_samples

    settings = SampleSettings(kind=kind, strength=strength, word_list=words, regions=regions, camera=camera)
    written = write_samples(out, number, settings, options=run.options, progress=run.progress)
    run.emit({"folder": str(out), "samples": len(written)}, [f"wrote {len(written)} samples to {out}"])


def eval_lines(
    run: Run,
    data: Annotated[
        Path,
        typer.Option(
            "--data", show_default=False, help="NAME.png with NAME.gt.txt, labels.json, or NAME.jpg with NAME.csv."
        ),
    ],
    weights: WeightsOption = None,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Score both texts in upper case.")] = False,
    beside: Annotated[
        Literal["tesseract"] | None, typer.Option("--beside", show_default=False, help="Score this engine too.")
    ] = None,
    worst: Worst = 0,
) -> None:
    """Score the recogniser on lines whose text is known: CER and WER with 95 % intervals, confidence curve. Word heads
    (unless -w line-latin) are scored beside each reading that they fuse."""
    from vitapps.pipelines.document.evaluate_lines import evaluate_lines

    rows, mistakes = evaluate_lines(
        data, weights=weights, ignore_case=ignore_case, beside=beside, options=run.options, progress=run.progress
    )
    header = ("engine", "lines", "CER", "95 %", "strict", "WER", "exact", "CPU ms/line")
    table = [
        (row.engine, row.lines, f"{row.folded.rate:.2f}", f"{row.folded.low:.2f}-{row.folded.high:.2f}",
         f"{row.strict.rate:.2f}", f"{row.words.rate:.2f}", f"{100 * row.exact:.1f}", f"{row.milliseconds:.1f}")
        for row in rows
    ]  # fmt: skip
    lines = [
        *columns(header, table), "", f"word confidence, calibration error {rows[0].calibration_error:.3f}",
        *columns(("confidence", "words", "mean", "right"), curve_rows(rows[0].curve)),
        *(f"{item.source}\n  {item.truth}\n  {item.found}" for item in mistakes[:worst]),
    ]  # fmt: skip
    run.emit({"rows": rows, "mistakes": mistakes[:worst]}, lines)


def train_recognizer(
    run: Run,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    words: WordsOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 5200,
    batch: Annotated[int, typer.Option(min=1, help="Lines a step.")] = 32,
    generators: Annotated[int, typer.Option(min=0, help="Processes that draw lines beside the training one.")] = 1,
    start: Annotated[
        Path | None, typer.Option("--start", show_default=False, help="The checkpoint.pt of an earlier run.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the line recogniser from scratch on rendered lines, in the faces of this machine."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.document.train_recogniser import LineFit, train
    from vitapps.pipelines.runtime.devices import cuda_devices

    device = run.options.device if run.options.device != "auto" else "cuda" if cuda_devices() else "cpu"
    config = LineFit(
        steps=steps, batch=batch, seed=run.options.seed, threads=run.options.threads or 1, generators=generators
    )
    card = train(
        out, word_list=words, config=config, start=start, resume=resume, device=device, progress=run.progress
    )  # fmt: skip
    run.emit({"card": str(card)}, [f"wrote {card}"])


def train_words(
    run: Run,
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for card, weights and graph.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", show_default=False, help="Lines as for eval-lines, to calibrate on; repeatable."),
    ] = None,
    weights: WeightsOption = None,
    words: WordsOption = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 3600,
    generators: Annotated[int, typer.Option(min=0, help="Processes that draw lines beside the training one.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
) -> None:
    """Train the word heads (characters, BPE, WordPiece) of a line recogniser, which stays as it is."""
    from vitapps.require import require

    require("torch", extra="train")
    from vitapps.pipelines.document.train_words import WordFit
    from vitapps.pipelines.document.train_words import train_words as train

    config = WordFit(steps=steps, seed=run.options.seed, threads=run.options.threads or 1, generators=generators)
    card = train(
        out, data=data or (), word_list=words, weights=weights, config=config, resume=resume, progress=run.progress
    )  # fmt: skip
    run.emit({"card": str(card)}, [f"wrote {card}"])


def train_confidence(
    run: Run,
    data: Annotated[
        list[Path],
        typer.Option("--data", show_default=False, help="Folder of lines as for eval-lines; repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder for the card and its files.")],
    weights: WeightsOption = None,
    rendered: Annotated[int, typer.Option(min=0, help="Rendered lines that are fitted to as well.")] = 400,
) -> None:
    """Calibrate the confidence of words on a third of the documents, and show it on the others."""
    from vitapps.pipelines.document.train_confidence import train_confidence as train

    card, scores = train(
        data, out, weights=weights, rendered=rendered, options=run.options, progress=run.progress
    )  # fmt: skip
    lines = [f"wrote {card}"]
    for item in scores:
        lines += [
            "", f"{item.data}, {item.words} words held out",
            f"calibration error {item.error_before:.3f} before, {item.error:.3f} after; before:",
            *columns(("confidence", "words", "mean", "right"), curve_rows(item.before)), "after:",
            *columns(("confidence", "words", "mean", "right"), curve_rows(item.after)),
        ]  # fmt: skip
    run.emit({"card": str(card), "scores": scores}, lines)


def curve_rows(curve: Sequence[ReliabilityBin]) -> list[tuple[str, int, str, str]]:
    """A reliability curve as rows of a table."""
    return [
        (f"{item.low:.1f}-{item.high:.1f}", item.count, f"{item.confidence:.3f}", f"{item.right:.3f}") for item in curve
    ]
