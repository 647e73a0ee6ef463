"""What every command shares: the common options, the run that a command receives, and how results are printed.

A domain file is written like this (`apps/medical.py`)::

    \"\"\"Medical imaging commands.\"\"\"

    from vitapps.apps.console import InputArgument, OutputOption, Run, WeightsOption, command, group

    app = group("Medical imaging: segment MR and CT scans.")


    @command(app, "segment")
    def segment(run: Run, scan: InputArgument, out: OutputOption, weights: WeightsOption = None) -> None:
        \"\"\"Segment the structures of a scan.\"\"\"            # becomes the help text, its first line the summary
        from vitapps.pipelines.medical.segment import segment    # heavy imports only here, in the body

        result = segment(scan, out, options=run.options, progress=run.progress, command=run.command_line)
        run.emit({"output": str(result.out)}, [f"wrote {result.out}"])

Rules
- The first parameter is `run: Run`; `command` adds `--device --engine --precision --threads --overwrite --seed` and
  `--json --verbose --quiet`, so a command never declares those, and with `reduces=True`, where its network may be a
  ViT, `--reduce`. A command that computes nothing (`models list`)
  takes `talk: Talk` instead and gets only `--json --verbose --quiet`.
- A command parses, calls ONE pipeline function and emits. It raises `VitappsError`s and lets everything else pass:
  `vitapps.apps.failure` turns each exception into one line, a hint and an exit code.
- `run.emit(result, lines)` is called once: `result` (a JSON-ready mapping; paths, dataclasses and numpy values are
  converted, NaN becomes null) under `--json`, else `lines`. What takes minutes may `run.show(lines)` of each part as
  soon as it is finished. Nothing else writes to stdout.
- `InputArgument` does not check that the file exists: the reader does, with exit code 3 and a message that names it.
- Tests call `vitapps.apps.main.main([...]) -> int` in-process, with `capsys`.
"""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from vitapps.apps.terminal import configure_logging, terminal_progress, write_json, write_lines
from vitapps.errors import UsageError
from vitapps.options import EngineName, Precision, RunOptions
from vitapps.progress import Progress

_COMPUTE = "How to compute"
_TALK = "What to print"

InputArgument = Annotated[Path, typer.Argument(metavar="INPUT", show_default=False, help="The file or folder to read.")]
OutputOption = Annotated[
    Path, typer.Option("--out", "-o", show_default=False, help="The file to write; its suffix chooses the format.")
]
WeightsOption = Annotated[
    str | None,
    typer.Option("--weights", "-w", show_default=False, help="A card name (`vitapps models list`) or a weights file."),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=_COMPUTE)]
EngineOption = Annotated[EngineName, typer.Option(help="What runs the network.", rich_help_panel=_COMPUTE)]
PrecisionOption = Annotated[
    Precision, typer.Option(help="exact: fp32; auto: what the weight card allows.", rich_help_panel=_COMPUTE)
]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads; 0: all cores.", rich_help_panel=_COMPUTE)]
ReduceOption = Annotated[
    str,
    typer.Option(
        help="Fewer tokens in the network's ViT: tome:r=13, tome:r=45,at=2/5, none; made once a machine.",
        rich_help_panel=_COMPUTE,
    ),
]
KeepOption = Annotated[
    Path | None,
    typer.Option("--keep", show_default=False, help="Folder of finished parts: an interrupted run goes on."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of everything random.", rich_help_panel=_COMPUTE)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=_TALK)]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say what is done.", rich_help_panel=_TALK)]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.", rich_help_panel=_TALK)]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """How a command speaks: results to stdout, everything else to stderr."""

    as_json: bool = False
    verbose: bool = False
    quiet: bool = False
    command_line: str = "vitapps"  # as typed, for the run record

    @property
    def progress(self) -> Progress:
        """Bars on stderr when that is a terminal, else nothing."""
        return terminal_progress(quiet=self.quiet)

    def show(self, lines: Iterable[str]) -> None:
        """Print a finished part of a result that takes minutes, unless one JSON object is to come at the end."""
        if not self.as_json:
            write_lines(lines)

    def emit(self, result: Mapping[str, Any], lines: Iterable[str] = ()) -> None:
        """Print the result of the command: `result` as one JSON object under `--json`, else `lines`."""
        if self.as_json:
            write_json(result)
        else:
            write_lines(lines)


@dataclass(frozen=True, kw_only=True)
class Run(Talk):
    """A command that computes: `options` is handed to its pipeline function."""

    options: RunOptions = field(default_factory=RunOptions)


CommandFunction = TypeVar("CommandFunction", bound=Callable[..., None])


def group(help_text: str) -> typer.Typer:
    """A Typer application that stays a group even with one command; without a command it prints its help."""
    app = typer.Typer(help=help_text, add_completion=False)

    @app.callback(invoke_without_command=True)
    def help_when_bare(context: typer.Context) -> None:
        show_help_when_bare(context)

    return app


def show_help_when_bare(context: typer.Context) -> None:
    """Print the help and exit with 2 when a group is called without a command."""
    if context.invoked_subcommand is None and not context.resilient_parsing:
        write_lines([context.get_help()])
        raise typer.Exit(2)


def command(app: typer.Typer, name: str, *, reduces: bool = False) -> Callable[[CommandFunction], CommandFunction]:
    """Register a function whose first parameter is `run: Run` or `talk: Talk`, with the common options added.

    `reduces`: a `Run` whose network may be a ViT, which therefore takes `--reduce`.
    """

    def register(function: CommandFunction) -> CommandFunction:
        first, *own = inspect.signature(function, eval_str=True).parameters.values()
        computes = first.annotation is Run
        shared = _run_parameters(reduces=reduces) if computes else _talk_parameters()
        names = {parameter.name for parameter in shared}

        def call(context: typer.Context, **values: Any) -> None:
            common = {key: values.pop(key) for key in names}
            common["command_line"] = context.find_root().obj or "vitapps"
            function(_run(**common) if computes else _talk(**common), **values)

        context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *(item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own), *shared]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {item.name: item.annotation for item in parameters}
        call.__doc__ = function.__doc__
        app.command(name)(call)
        return function

    return register


def numbers(
    option: str, text: str | None, *, count: int = 0, whole: bool = False, example: str = "numbers and commas: 4,3,2"
) -> list[float]:
    """The numbers of `text`, none for None; raises UsageError for words, NaN, or another `count` (0: any)."""
    if text is None:
        return []
    try:
        values = [float(int(part) if whole else float(part)) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or (count and len(values) != count) or not all(math.isfinite(value) for value in values):
        raise UsageError(f"{option} {text!r}: not understood", hint=f"give {example}")
    return values


def listed(text: str) -> tuple[str, ...]:
    """The parts of `text` between commas, without the spaces around them; empty ones are left out."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check_device(device: str) -> str:
    """Accept `auto`, `cpu`, `cuda`, `cuda:N`; raises UsageError for another word, MissingError for an absent GPU."""
    kind, _, index = device.partition(":")
    if device in ("auto", "cpu"):
        return device
    if kind != "cuda" or (":" in device and not (index.isascii() and index.isdigit())):
        raise UsageError(f"--device {device!r}: no such device", hint="auto, cpu, cuda or cuda:N")
    from vitapps.pipelines.runtime.devices import require_cuda

    require_cuda(int(index or 0))
    return device


def _talk(*, as_json: bool, verbose: bool, quiet: bool, command_line: str) -> Talk:
    configure_logging(verbose=verbose, quiet=quiet)
    return Talk(as_json=as_json, verbose=verbose, quiet=quiet, command_line=command_line)


def _run(*, as_json: bool, verbose: bool, quiet: bool, command_line: str, **options: Any) -> Run:
    configure_logging(verbose=verbose, quiet=quiet)
    check_device(options["device"])
    _limit_threads(options["threads"])
    return Run(as_json=as_json, verbose=verbose, quiet=quiet, command_line=command_line, options=RunOptions(**options))


def _limit_threads(number: int) -> None:
    """numpy's BLAS and OpenMP read these when they load, which no command has done yet; engines are told apart."""
    if number and "numpy" not in sys.modules:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(number)


def _parameters(kinds: Mapping[str, tuple[Any, Any]]) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in kinds.items()
    ]


def _talk_parameters() -> list[inspect.Parameter]:
    return _parameters(
        {"as_json": (JsonOption, False), "verbose": (VerboseOption, False), "quiet": (QuietOption, False)}
    )


def _run_parameters(*, reduces: bool) -> list[inspect.Parameter]:
    default = RunOptions()
    options: dict[str, tuple[Any, Any]] = {
        "overwrite": (OverwriteOption, default.overwrite),
        "device": (DeviceOption, default.device),
        "engine": (EngineOption, default.engine),
        "precision": (PrecisionOption, default.precision),
        "threads": (ThreadsOption, default.threads),
        "seed": (SeedOption, default.seed),
    }
    if reduces:
        options["reduce"] = (ReduceOption, default.reduce)
    return [*_parameters(options), *_talk_parameters()]
