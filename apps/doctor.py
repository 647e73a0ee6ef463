"""`vitapps doctor`: is this installation whole?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitapps.apps.console import Talk, command
from vitapps.apps.terminal import columns
from vitapps.errors import ExitCode
from vitapps.jsonable import json_ready

if TYPE_CHECKING:
    from vitapps.pipelines.runtime.diagnose import Diagnosis

_GIB = 1 << 30
app = typer.Typer(add_completion=False)


@command(app, "doctor")
def doctor(
    talk: Talk,
    full: Annotated[bool, typer.Option("--full", help="Also load each engine and ask it for its devices.")] = False,
) -> None:
    """Versions, processors, engines and embedded weights; exit code 4 when something is broken."""
    from vitapps.pipelines.runtime.diagnose import diagnose

    found = diagnose(full=full)
    talk.emit(json_ready(found), _lines(found))
    if found.problems:
        raise typer.Exit(ExitCode.MISSING)


def _lines(found: Diagnosis) -> list[str]:
    machine = [
        ("vitapps", f"{found.vitapps}, Python {found.python}, {found.platform}"),
        ("cpu", f"{found.cpu}, {found.cores} cores, {found.memory / _GIB:.0f} GiB memory"),
        ("disk", f"{found.free_disk / _GIB:.0f} GiB free here"),
        ("cache", f"{found.cache}, {found.cached / 1e6:.0f} MB used"),
        *((f"cuda:{gpu.index}", f"{gpu.name}, {gpu.memory / _GIB:.0f} GiB") for gpu in found.cuda),
        *([] if found.cuda else [("cuda", "none")]),
    ]
    engines = [(f"engine {name}", state) for name, state in found.engines.items()]
    weights = [(f"weights {item.name}", item.state) for item in found.weights]
    chosen = [
        (f"auto {item.card}", f"{item.engine} {item.precision}, {item.threads} thread(s): {item.reason}")
        for item in found.decisions
    ]
    packages = [(name, version) for name, version in found.versions.items()]
    verdict = [f"PROBLEM  {problem}" for problem in found.problems] or ["all is well"]
    return [*columns(("WHAT", "STATE"), [*machine, *engines, *weights, *chosen, *packages]), *verdict]
