"""Named slots: a technique is a file of its family's folder, found by its name, imported when it is used."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

from vitapps.errors import UsageError


def members(family: str) -> list[str]:
    """Names of all techniques of a family, sorted."""
    package = importlib.import_module(f"vitapps.shared_backbones.{family}")
    return sorted(item.name for item in pkgutil.iter_modules(package.__path__) if not item.name.startswith("_"))


def load(family: str, name: str) -> ModuleType:
    """Import the technique `name` of `family`; UsageError with close matches where there is none."""
    known = members(family)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise UsageError(f"no {family} technique '{name}'", hint=hint)
    return importlib.import_module(f"vitapps.shared_backbones.{family}.{name}")
