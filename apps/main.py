"""The root command: `vitapps DOMAIN COMMAND`. A domain is a name until it is used, so that `--help` stays instant."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vitapps import __version__
from vitapps.apps.console import show_help_when_bare
from vitapps.apps.failure import guarded

# each a module vitapps.apps.<name>, with the first line of its help: `vitapps --help` imports none of them
SUBCOMMANDS = {
    "medical": "Medical imaging: segment MR and CT scans.",
    "rs": "Remote sensing: find objects in rasters of any size.",
    "video": "Video: track, segment, classify and detect in clips.",
    "doc": "Documents: read pages, photographs and PDFs.",
    "face": "Faces: find, compare, and check whether a picture can be trusted.",
    "batch": "Batch: thousands of inputs, each done once, resumable, with a report.",
    "papers": "Papers: what is implemented, how far it is proven, and their figures measured here.",
    "bench": "Measure this machine: ours beside the alternatives, in one run.",
    "demo": "Run every command on small samples and write one HTML page with the pictures, figures and timings.",
    "models": "The embedded models and their cards.",
    "doctor": "Versions, processors, engines and embedded weights; exit code 4 when something is broken.",
}


class LazyGroup(TyperGroup):
    """Imports `vitapps.apps.<name>` when that name is asked for, and not for the table of the help."""

    _describing = False

    def format_help(self, context: Any, formatter: Any) -> None:
        self._describing = True
        try:
            super().format_help(context, formatter)
        finally:
            self._describing = False

    def list_commands(self, context: Any) -> list[str]:
        return [*SUBCOMMANDS, *super().list_commands(context)]

    def get_command(self, context: Any, name: str) -> TyperCommand | TyperGroup | None:
        if name not in SUBCOMMANDS:
            return super().get_command(context, name)  # type: ignore[return-value]
        if self._describing:
            return TyperCommand(name, help=SUBCOMMANDS[name])
        found: Any = typer.main.get_command(importlib.import_module(f"vitapps.apps.{name}").app)
        found.name = name  # the help table prints this one
        self.commands[name] = found  # known to "did you mean"
        return found  # type: ignore[no-any-return]

    def resolve_command(self, context: Any, args: list[str]) -> Any:
        if args and args[0] not in SUBCOMMANDS:
            for name in SUBCOMMANDS:  # a typing error: close matches are looked for among loaded commands
                self.get_command(context, name)
        return super().resolve_command(context, args)


app = typer.Typer(cls=LazyGroup, help="Vision transformers on real data.")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vitapps {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Vision transformers on real data: `vitapps DOMAIN COMMAND --help` says what each command takes."""
    show_help_when_bare(context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; `arguments` default to those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    line = shlex.join(["vitapps", *words])
    return guarded(lambda: typer.main.get_command(app).main(words, "vitapps", standalone_mode=False, obj=line), words)
