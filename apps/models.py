"""`vitapps models`: the weight cards, what each model was trained on and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitapps.apps.console import OutputOption, OverwriteOption, Run, Talk, command, group
from vitapps.apps.terminal import columns, printable
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.quantize import QuantReport
    from vitapps.shared_backbones.weights.cards import Card

Layers = Literal["all", "linear", "conv"]
ExportForm = Literal["onnx", "openvino", "torch-export"]
app = group("The embedded models and their cards.")


@command(app, "list")
def list_models(talk: Talk) -> None:
    """One line a model: name, task, size, licence, what it does."""
    from vitapps.shared_backbones.weights.cards import list_cards, load_card

    cards = [load_card(name) for name in list_cards()]
    rows = [(card.name, card.task, f"{card.size / 1e6:.1f} MB", card.licence, card.summary) for card in cards]
    keys = ("name", "task", "arch", "size", "licence", "status", "summary")
    result = {"models": [{key: getattr(card, key) for key in keys} for card in cards]}
    talk.emit(result, columns(("NAME", "TASK", "SIZE", "LICENCE", "WHAT"), rows))


@command(app, "info")
def info(
    talk: Talk,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="A name of `vitapps models list`.")],
) -> None:
    """Everything the card of one model says: labels, preprocessing, training, scores, limits."""
    from vitapps.shared_backbones.weights.cards import load_card

    card = load_card(name)
    talk.emit(json_ready(card), _card_lines(card))


@command(app, "quantize")
def quantize(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="A card name or a weights file.")],
    calib: Annotated[
        Path,
        typer.Option(show_default=False, help="Folder of .npy inputs as the network takes them, C *spatial each."),
    ],
    method: Annotated[str, typer.Option(help="A quantization method: minmax, repq, dopq, adalog.")] = "repq",
    bits: Annotated[str, typer.Option(help="Bits of weights and activations.")] = "w8a8",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="Write the quantized state (.safetensors).")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(show_default=False, help="Modules that stay float.")] = None,
) -> None:
    """Round weights and activations to a few bits (simulated); a table beside plain min-max."""
    from vitapps.pipelines.runtime.quantize import quantize_card

    report = quantize_card(
        name,
        calib,
        method=method,
        bits=bits,
        out=out,
        overwrite=run.options.overwrite,
        skip=skip or (),
        progress=run.progress,
    )
    run.emit(json_ready(report), _quantize_lines(report))


def _quantize_lines(report: QuantReport) -> list[str]:
    rows = [
        (row.method, row.bits, f"{row.sqnr:.1f} dB", f"{row.error:.2e}", f"{row.size / 1e6:.2f} MB",
         f"{row.float_size / row.size:.1f}x")
        for row in report.rows
    ]  # fmt: skip
    header = ("METHOD", "BITS", "OUTPUT SQNR", "RELATIVE ERROR", "SIZE", "SMALLER")
    about = f"{report.card}: {report.calibration} inputs calibrate, {report.held_out} others measure; simulated"
    written = [f"wrote {report.out}"] if report.out else []
    return [*columns(header, rows), about, *written]


@command(app, "int8")
def int8(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="A card name or a weights file.")],
    calib: Annotated[
        Path,
        typer.Option(
            show_default=False, help="Folder of files as the model's task reads them, or of .npy inputs, C *spatial."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", show_default=False, help="Folder of the new card and its files.")],
    layers: Annotated[Layers, typer.Option(help="Int8 for products with weights, convolutions, or both.")] = "all",
    limit: Annotated[int, typer.Option(min=1, help="Inputs that calibrate.")] = 32,
) -> None:
    """Give a model an int8 graph for `--precision int8`, calibrated on typical files; nothing of torch is needed.

    Then score it with its task: `-w FOLDER/NAME.toml --precision int8` beside `--precision exact`.
    """
    from vitapps.pipelines.batch.int8_model import make_int8

    done = make_int8(name, calib, out, layers=layers, limit=limit, options=run.options, progress=run.progress)
    lines = [
        f"wrote {done.card}: {done.int8_size / 1e6:.2f} MB beside {done.exact_size / 1e6:.2f} MB, {done.inputs} inputs",
        f"{done.exact_ms:.1f} -> {done.int8_ms:.1f} ms CPU a call ({done.gain:.2f}x), relative error {done.error:.1e}",
    ]
    run.emit(json_ready(done), lines)


@command(app, "export")
def export(
    talk: Talk,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="A name of `vitapps models list`.")],
    out: OutputOption,
    form: Annotated[ExportForm, typer.Option("--to", show_default=False, help="The kind of file.")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write the network of a model for other programs, read it back and compare it with its source."""
    from vitapps.pipelines.runtime.export_model import export_model

    done = export_model(name, out, form, overwrite=overwrite, command=talk.command_line)
    lines = [f"wrote {done.out} ({done.size / 1e6:.1f} MB), relative error {done.error:.1e} against its weights"]
    talk.emit(json_ready(done), lines)


def _card_lines(card: Card) -> list[str]:
    fields = json_ready(card)
    plain = [(key, value) for key, value in fields.items() if value and not isinstance(value, (list, dict))]
    lines = [f"{key:<14}{printable(value)}" for key, value in plain]
    for key, value in fields.items():
        if value and isinstance(value, dict):
            lines += ["", f"{key}:", *(f"  {name:<14}{printable(item)}" for name, item in value.items())]
        elif value and isinstance(value, list):
            lines += ["", f"{key}:", *(f"  {line}" for line in _list_lines(value))]
    return lines


def _list_lines(items: list[Any]) -> list[str]:
    if not all(isinstance(item, Mapping) for item in items):
        return [f"- {printable(item)}" for item in items]
    header = list(dict.fromkeys(key for item in items for key in item))
    return columns([key.upper() for key in header], [[item.get(key, "") for key in header] for item in items])
