"""Recipes: what a paper states, measured on this machine beside what was measured before.

`papers/<name>/recipe.py` has `measure(wish) -> {quantity: value}`; `papers/<name>/rows.toml` has the paper, the
technique, what `--data` must hold (`data`), and a table a quantity: what the paper says, the bound that a run has to
keep (`at_most` or `at_least`; none: the figure is shown, nothing is asked), the figure that was kept, and on what.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from vitapps.errors import UsageError
from vitapps.options import RunOptions
from vitapps.progress import Progress

Verdict = Literal["holds", "missed", "shown", "not run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """How to measure: `quick` as small as makes sense, `data` the folder of `--data`."""

    quick: bool
    data: Path | None
    options: RunOptions
    progress: Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """`paper`: what it states, in words; `kept` the figure measured before, `kept_on` date and machine."""

    name: str
    paper: str
    kept: float
    kept_on: str
    at_most: float | None = None
    at_least: float | None = None

    def verdict(self, value: float | None) -> Verdict:
        """Of a measured value; None: it was not measured (`--quick` may leave some out)."""
        if value is None:
            return "not run"
        if self.at_most is None and self.at_least is None:
            return "shown"
        kept = (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)
        return "holds" if kept else "missed"

    @property
    def asked(self) -> str:
        """The bound in words."""
        bounds = [("at most", self.at_most), ("at least", self.at_least)]
        return ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None) or "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """`technique` is a `family/name` of the catalogue; `data` says what `--data` must hold, empty: nothing."""

    name: str
    id: str
    title: str
    paper: str
    technique: str
    summary: str
    data: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A quantity with its `now` (None: not measured) and the verdict on it."""

    quantity: Quantity
    now: float | None
    verdict: Verdict


def recipe_names() -> list[str]:
    """Sorted; reads folder names alone."""
    return sorted(item.name for item in files("vitapps.papers").iterdir() if (item / "rows.toml").is_file())


def load_recipe(name: str) -> Recipe:
    """Raises UsageError for a name without a recipe."""
    if name not in recipe_names():
        raise UsageError(f"no recipe {name!r}", hint=f"one of {', '.join(recipe_names())}")
    table = tomllib.loads((files("vitapps.papers") / name / "rows.toml").read_text(encoding="utf-8"))
    quantities = tuple(Quantity(**row) for row in table.pop("quantity"))
    return Recipe(name=name, quantities=quantities, **{"data": "", **table})


def run_recipe(recipe: Recipe, wish: Wish) -> list[Measured]:
    """Its quantities in their order. Raises UsageError where data are needed and none are given, MissingError for what
    is not installed."""
    if recipe.data and wish.data is None:
        raise UsageError(f"{recipe.name} needs data: {recipe.data}", hint="--data DIR")
    module = importlib.import_module(f"vitapps.papers.{recipe.name}.recipe")
    measure: Callable[[Wish], Mapping[str, float]] = module.measure
    found = measure(wish)
    unknown = set(found) - {quantity.name for quantity in recipe.quantities}
    assert not unknown, f"{recipe.name}: {unknown} is not in rows.toml"
    return [
        Measured(quantity=item, now=found.get(item.name), verdict=item.verdict(found.get(item.name)))
        for item in recipe.quantities
    ]


def as_rows(measured: list[Measured]) -> list[dict[str, Any]]:
    """For machines."""
    return [
        {
            "quantity": item.quantity.name, "paper": item.quantity.paper, "asked": item.quantity.asked,
            "kept": item.quantity.kept, "kept_on": item.quantity.kept_on, "now": item.now, "verdict": item.verdict,
        }
        for item in measured
    ]  # fmt: skip
