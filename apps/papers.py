"""`vitapps papers`: the papers that the package implements, and their figures measured here beside what they state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitapps.apps.console import Run, Talk, command, group
from vitapps.apps.terminal import columns

Status = Literal["paper", "verified", "core"]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="A name or id of `papers list`.")]
app = group("Papers: what is implemented, how far it is proven, and their figures measured here.")


@command(app, "list")
def list_papers(
    talk: Talk,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", show_default=False, help="Only lines that contain it.")] = "",
    status: Annotated[Status | None, typer.Option("--status", show_default=False, help="How far it is proven.")] = None,
    family: Annotated[str, typer.Option("--family", show_default=False, help="As in heads, token_reduction.")] = "",
    recipes: Annotated[bool, typer.Option("--recipes", help="Only those with a recipe to run.")] = False,
) -> None:
    """One line a technique: id, name, status, recipe, paper. paper: passes its family's contract; verified: equals
    reference code; core: a default uses it."""
    from vitapps.papers.catalogue import techniques
    from vitapps.papers.recipes import load_recipe, recipe_names

    runs: dict[str, list[str]] = {}
    for recipe in map(load_recipe, recipe_names()):
        runs.setdefault(recipe.technique, []).append(recipe.name)
    found = [
        item
        for item in techniques()
        if (status is None or item.status == status)
        and (not family or item.family == family)
        and (not recipes or item.key in runs)
        and text.lower() in f"{item.id} {item.key} {item.paper} {item.about}".lower()
    ]
    rows = [(item.id, item.key, item.status, ", ".join(runs.get(item.key, ())), item.paper) for item in found]
    result = [
        {"id": item.id, "name": item.key, "status": item.status, "paper": item.paper, "recipes": runs.get(item.key, [])}
        for item in found
    ]
    talk.emit({"papers": result}, columns(("ID", "NAME", "STATUS", "RECIPE", "PAPER"), rows))


@command(app, "show")
def show(talk: Talk, name: NameArgument) -> None:
    """What a technique does, where it stands, how far it deviates; of a recipe what it measures."""
    from dataclasses import asdict

    from vitapps.papers.catalogue import find_techniques
    from vitapps.papers.recipes import load_recipe, recipe_names

    chosen = [load_recipe(name)] if name in recipe_names() else []
    found = find_techniques(chosen[0].technique if chosen else name)
    chosen = chosen or [item for item in map(load_recipe, recipe_names()) if item.technique in {t.key for t in found}]
    lines: list[str] = []
    for item in found:
        lines += [f"{item.key} ({item.id}), status {item.status}", f"  paper       {item.paper}"]
        lines += [f"  equation    {item.equation}", f"  deviations  {item.deviations or 'none'}"]
        lines += [f"  cost        {item.cost}", f"  module      {item.module}", "", item.about, ""]
    for recipe in chosen:
        lines += [f"vitapps papers run {recipe.name}{' --data DIR' if recipe.data else ''}: {recipe.summary}"]
        lines += [f"  {q.name}: paper: {q.paper}; kept: {q.kept:g} ({q.kept_on})" for q in recipe.quantities]
    talk.emit({"techniques": [asdict(item) for item in found], "recipes": [asdict(item) for item in chosen]}, lines)


@command(app, "run")
def run_paper(
    run: Run,
    name: NameArgument,
    data: Annotated[
        Path | None, typer.Option("--data", show_default=False, help="What `papers show` asks for.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller cases, seconds.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", show_default=False, help="The rows as .json, with a run record.")
    ] = None,
) -> None:
    """Measure what a paper states on this machine; exit code 6 where a bound is missed."""
    from vitapps.atomic import check_output, write_text
    from vitapps.errors import ExitCode
    from vitapps.jsonable import json_text
    from vitapps.papers.recipes import Wish, as_rows, load_recipe, run_recipe
    from vitapps.provenance import RunRecord, write_run_record

    recipe = load_recipe(name)
    if out:
        check_output(out, overwrite=run.options.overwrite, sources=())
    record = RunRecord(command=run.command_line, options={"recipe": name, "data": data, "quick": quick})
    with record.timed("measure"):
        wish = Wish(quick=quick, data=data, options=run.options, progress=run.progress)
        measured = run_recipe(recipe, wish)
    rows = as_rows(measured)
    result = {"recipe": name, "title": recipe.title, "paper": recipe.paper, "rows": rows}
    if out:
        write_text(out, json_text(result), overwrite=run.options.overwrite)
        record.results = {"rows": rows, "output": str(out)}
        write_run_record(out, record)
    table = [
        (row["quantity"], row["paper"], row["asked"], f"{row['kept']:.4g}",
         "-" if row["now"] is None else f"{row['now']:.4g}", row["verdict"])
        for row in rows
    ]  # fmt: skip
    head = f"{recipe.title} ({recipe.paper}); kept on {', '.join(sorted({row['kept_on'] for row in rows}))}"
    run.emit(result, [head, "", *columns(("QUANTITY", "PAPER", "ASKED", "KEPT", "NOW", "VERDICT"), table)])
    if any(row["verdict"] == "missed" for row in rows):
        raise typer.Exit(ExitCode.PARTIAL)
