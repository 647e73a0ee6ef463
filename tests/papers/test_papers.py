"""The catalogue of papers and the recipes: what they say is there, and what they measure is judged."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from vitapps.apps.main import main
from vitapps.errors import ExitCode, UsageError
from vitapps.options import RunOptions
from vitapps.papers.catalogue import find_techniques, techniques
from vitapps.papers.recipes import Quantity, Wish, load_recipe, recipe_names, run_recipe
from vitapps.progress import null_progress

QUICK = Wish(quick=True, data=None, options=RunOptions(threads=1), progress=null_progress)


def test_the_catalogue_names_modules_that_are_there() -> None:
    found = techniques()
    assert len(found) > 60 and len({item.key for item in found}) == len(found)
    assert all(importlib.util.find_spec(item.module) for item in found)
    assert [item.key for item in find_techniques("S048")] == ["token_reduction/tome"]
    with pytest.raises(UsageError, match="'tomee'"):
        find_techniques("tomee")


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_names_a_technique_and_keeps_its_bounds(name: str) -> None:
    recipe = load_recipe(name)
    assert find_techniques(recipe.technique)[0].key == recipe.technique
    assert recipe.quantities and all(item.paper and item.kept_on for item in recipe.quantities)
    assert all(item.verdict(item.kept) in ("holds", "shown") for item in recipe.quantities), "what was kept is missed"
    spec = importlib.util.find_spec(f"vitapps.papers.{name}.recipe")
    assert spec is not None


@pytest.mark.parametrize("name", ["ggem", "cdc_adapter", "navit"])
def test_a_recipe_runs(name: str) -> None:
    measured = run_recipe(load_recipe(name), QUICK)
    assert {item.verdict for item in measured} == {"holds"}


def test_parity_runs_where_the_peer_is(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    assert main(["papers", "run", "videomae", "--quick", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["verdict"] for row in rows] == ["holds", "holds"] and max(row["now"] for row in rows) < 1e-4


def test_verdicts() -> None:
    bound = Quantity(name="x", paper="-", kept=1.0, kept_on="now", at_least=0.5, at_most=2.0)
    assert [bound.verdict(value) for value in (0.4, 1.0, 2.1, float("nan"))] == ["missed", "holds", "missed", "missed"]
    assert (bound.asked, bound.verdict(None)) == ("at most 2, at least 0.5", "not run")
    assert Quantity(name="x", paper="-", kept=1.0, kept_on="now").verdict(7) == "shown"


def test_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    assert main(["papers", "list", "bolya", "--recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["papers"][0]["recipes"] == ["tome"]
    assert main(["papers", "show", "S164"]) == 0
    assert "vitapps papers run partial_fc" in capsys.readouterr().out
    out = tmp_path / "rows.json"
    assert main(["papers", "run", "ggem", "-o", str(out)]) == 0
    assert json.loads(out.read_text())["rows"][0]["verdict"] == "holds" and (tmp_path / "rows.json.run.json").exists()
    assert main(["papers", "run", "ggem", "-o", str(out)]) == ExitCode.OUTPUT
    assert main(["papers", "run", "predformer"]) == ExitCode.USAGE and "needs data" in capsys.readouterr().err
    assert main(["papers", "run", "ggen"]) == ExitCode.USAGE
    from vitapps.papers.ggem import recipe

    monkeypatch.setattr(recipe, "measure", lambda wish: {"p = 1 less the mean": 0.5})
    capsys.readouterr()
    assert main(["papers", "run", "ggem", "--json"]) == ExitCode.PARTIAL
    assert [row["verdict"] for row in json.loads(capsys.readouterr().out)["rows"]] == ["missed", "not run", "not run"]
