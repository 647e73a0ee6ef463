"""`vitapps doc eval`: what is typed for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitapps.apps.console import Run, WeightsOption, command
from vitapps.apps.doc_ocr import DetectorOption, LayoutOption
from vitapps.apps.terminal import columns

if TYPE_CHECKING:
    from vitapps.pipelines.document.evaluate import PageScore

Beside = Literal["tesseract"]


commands = typer.Typer(add_completion=False)


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file to the group `doc`."""
    app.registered_commands.extend(commands.registered_commands)


@command(commands, "eval")
def evaluate(
    run: Run,
    data: Annotated[
        Path,
        typer.Option("--data", show_default=False, help="Folder of NAME.png with NAME.gt.txt, or SROIE's NAME.csv."),
    ],
    weights: WeightsOption = None,
    beside: Annotated[
        Beside | None, typer.Option("--beside", show_default=False, help="Score this too, on the same pages.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", show_default=False, help="An HTML page with the differences of every page."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, show_default=False, help="Only the first so many pages.")
    ] = None,
    photograph: Annotated[
        bool, typer.Option("--photograph", help="Show each page askew on a dark desk, as a camera would.")
    ] = False,
    detector: DetectorOption = "auto",
    layout: LayoutOption = "auto",
    worst: Annotated[int, typer.Option(min=0, help="Draw so many of the pages that were read worst.")] = 0,
    pictures: Annotated[Path | None, typer.Option("--pictures", show_default=False, help="Folder for them.")] = None,
) -> None:
    """CER, WER, order-free CER and words of whole pages and receipts, with intervals and a reliability curve."""
    from vitapps.atomic import check_output
    from vitapps.errors import UsageError
    from vitapps.pipelines.document.eval_report import figures, write_eval_report
    from vitapps.pipelines.document.evaluate import evaluate as score
    from vitapps.pipelines.document.read_page import ReadSettings
    from vitapps.pipelines.document.worst_pages import draw_worst, worst_pages

    if bool(worst) != bool(pictures) or (worst and photograph):
        raise UsageError("--worst goes with --pictures, and not with --photograph", hint="--worst 3 --pictures DIR")
    if out is not None:
        check_output(out, overwrite=run.options.overwrite, sources=[data])
    pages, totals = score(
        data, weights=weights, beside=beside is not None, limit=limit, photograph=photograph,
        settings=ReadSettings(detector=detector, layout=layout), options=run.options, progress=run.progress,
    )  # fmt: skip
    drawn = draw_worst(worst_pages(pages, worst), pictures, overwrite=run.options.overwrite) if pictures else []
    if out is not None:
        write_eval_report(out, pages, totals, command=run.command_line, overwrite=run.options.overwrite)
    rows = [_row(item) for item in pages]
    table = [figures(item) for item in totals]
    curves = [
        f"{item.engine}: {step.count} words said {step.confidence:.3f}, right {step.right:.3f}"
        for item in totals
        for step in item.curve
    ]
    lines = [
        *columns(("page", "engine", "CER %", "order-free %", "WER %", "words F1", "CPU s"), rows), "",
        *columns(tuple(table[0]), [tuple(row.values()) for row in table]), "", *curves,
        *(f"wrote {path}" for path in (*([out] if out else []), *drawn)),
    ]  # fmt: skip
    run.emit({"engines": totals, "table": table, "pages": [dict(zip(_NAMES, row, strict=True)) for row in rows]}, lines)


_NAMES = ("page", "engine", "cer_percent", "order_free_percent", "wer_percent", "words_f1_percent", "cpu_s")


def _row(item: PageScore) -> tuple[str, ...]:
    """What is printed of a page."""
    return (
        item.name, item.engine, _percent(item.edits, item.length), _percent(item.free_edits, item.free_length),
        _percent(item.word_edits, item.word_length), f"{100 * item.bag.f1:.1f}", f"{item.cpu_s:.2f}",
    )  # fmt: skip


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}" if whole else ""
