"""`vitapps models`: the weight cards, what each model was trained on and how well it does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitapps.apps.console import KeepOption, OutputOption, OverwriteOption, Run, Talk, command, group, listed
from vitapps.apps.own_metric import DataOption, judge_of
from vitapps.apps.terminal import columns, printable
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.quantize import QuantReport, QuantRow
    from vitapps.shared_backbones.weights.cards import Card

Layers = Literal["all", "linear", "conv"]
ExportForm = Literal["onnx", "openvino", "torch-export"]
app = group("The embedded models and their cards.")


@command(app, "list")
def list_models(talk: Talk) -> None:
    """One line a model: name, task, size, what it does, licence."""
    from vitapps.shared_backbones.weights.cards import list_cards, load_card

    cards = [load_card(name) for name in list_cards()]
    rows = [(card.name, card.task, f"{card.size / 1e6:.1f} MB", card.summary, card.licence) for card in cards]
    keys = ("name", "task", "arch", "size", "licence", "status", "summary")
    result = {"models": [{key: getattr(card, key) for key in keys} for card in cards]}
    talk.emit(result, columns(("NAME", "TASK", "SIZE", "WHAT", "LICENCE"), rows))


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
        Path | None,
        typer.Option(show_default=False, help="Folder of .npy inputs C *spatial, or of files as the task reads them."),
    ] = None,
    data: DataOption = None,
    method: Annotated[str, typer.Option(help="Methods joined by commas; all: every one.")] = "repq",
    bits: Annotated[str, typer.Option(help="Bits of weights and activations; several joined by commas.")] = "w8a8",
    budget: Annotated[
        float | None,
        typer.Option(min=2, max=8, show_default=False, help="Instead of --bits: weight bits on average, by layer."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="Write the quantized state (.safetensors).")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(show_default=False, help="Modules that stay float.")] = None,
    limit: Annotated[int, typer.Option(min=2, help="Inputs that calibrate, unless they are .npy files.")] = 64,
    keep: KeepOption = None,
) -> None:
    """Round weights and activations to a few bits (simulated; ivit in integers): one table beside plain min-max.

    The own metric of a model is a column where it can be computed: line-latin on lines and face-finder on scenes that
    are generated here, where they calibrate as well; trees-neon on the folder of --data.
    """
    from vitapps.pipelines.batch.record_inputs import calibration_inputs
    from vitapps.pipelines.runtime.quantize import QuantizeSettings, quantize_card

    judge = judge_of(name, data)
    inputs = calibration_inputs(name, calib, judge, limit=limit, options=run.options, progress=run.progress)
    settings = QuantizeSettings(
        methods=listed(method), bits=listed(bits), skip=tuple(skip or ()), budget=budget, keep=keep
    )  # fmt: skip
    report = quantize_card(
        name, inputs, settings, judge=judge, out=out, done=lambda rows: run.show(_quantize_lines(rows)),
        options=run.options, progress=run.progress,
    )  # fmt: skip
    run.emit(json_ready(report), _report_lines(report))


def _quantize_lines(width: Sequence[QuantRow]) -> list[str]:
    rows = [
        (row.method, row.bits, *((row.fault, "", "", "", "") if row.fault else (
            f"{row.sqnr:.1f} dB", f"{row.error:.2e}", "-" if math.isnan(row.metric) else f"{row.metric:.3f}",
            f"{row.size / 1e6:.2f} MB", f"{row.float_size / row.size:.1f}x",
        )))
        for row in width
    ]  # fmt: skip
    return columns(("METHOD", "BITS", "OUTPUT SQNR", "RELATIVE ERROR", "OWN METRIC", "SIZE", "SMALLER"), rows)


def _report_lines(report: QuantReport) -> list[str]:
    about = [f"{report.card}: {report.calibration} inputs calibrate, {report.held_out} others measure; simulated"]
    if report.metric:
        about.append(f"own metric: {report.metric}; of the float network {report.float_metric:.3f}")
    written = [f"wrote {report.out}"] if report.out else []
    return [*about, *written]


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
