"""The techniques that realise a paper, by the literal `CARD` of their modules, which are read and not imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from vitapps.errors import UsageError

_FOLDERS = ("shared_backbones", "pipelines")


@dataclass(frozen=True, kw_only=True, slots=True)
class Technique:
    """A CARD: `id` of the catalogue of papers or a name of its own, `family`/`name`, the paper and its equation, where
    we deviate, the slots of a network that it fills, its cost; `status` paper (passes the contract of its family),
    verified (parity with reference code) or core (a default uses it); `about`: the docstring of its `module`."""

    id: str
    name: str
    family: str
    paper: str
    equation: str
    deviations: str
    slots: tuple[str, ...]
    cost: str
    status: str
    module: str
    about: str

    @property
    def key(self) -> str:
        """`family/name`, of which there is one."""
        return f"{self.family}/{self.name}"


@cache
def techniques() -> tuple[Technique, ...]:
    """All of them, by family and name."""
    found = [item for folder in _FOLDERS for item in _below(files(f"vitapps.{folder}"), f"vitapps.{folder}")]
    return tuple(sorted(found, key=lambda item: item.key))


def find_techniques(word: str) -> list[Technique]:
    """Those whose id, name or `family/name` is the word. Raises UsageError with what contains it where none is."""
    exact = [item for item in techniques() if word.lower() in (item.id.lower(), item.name, item.key)]
    if exact:
        return exact
    near = [item.key for item in techniques() if word.lower() in f"{item.key} {item.paper}".lower()][:5]
    raise UsageError(
        f"no technique or recipe {word!r}", hint=f"did you mean {', '.join(near)}?" if near else "vitapps papers list"
    )


def _below(folder: Any, package: str) -> Iterator[Technique]:
    for item in folder.iterdir():
        if item.is_dir() and not item.name.startswith(("_", ".")):
            yield from _below(item, f"{package}.{item.name}")
        elif item.name.endswith(".py"):
            text = item.read_text(encoding="utf-8")
            if "\nCARD" in text:
                yield from _of_module(text, f"{package}.{item.name.removesuffix('.py')}")


def _of_module(text: str, module: str) -> Iterator[Technique]:
    tree = ast.parse(text)
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "CARD" and isinstance(node, (ast.Assign, ast.AnnAssign)):
            assert node.value is not None
            card = ast.literal_eval(node.value)
            about = ast.get_docstring(tree) or ""
            yield Technique(**{**card, "slots": tuple(card["slots"])}, module=module, about=about)
