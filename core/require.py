"""Optional dependencies: one way to ask for them, one message when they are missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from types import ModuleType
from typing import Any

from vitapps.errors import MissingError

_importing = RLock()  # what one thread hides by `without` is there for the others


def require(module: str, *, extra: str = "", package: str = "") -> Any:
    """Import `module`, or say which `pip install` brings it (`package` where its PyPI name differs)."""
    try:
        with _importing:
            found: ModuleType = importlib.import_module(module)
    except ModuleNotFoundError as error:
        absent = error.name or ""
        if module != absent and not module.startswith(f"{absent}."):
            raise  # the module is there, something that it imports is not: that is another fault
        wanted = package or module.split(".")[0]
        fault = "is not installed" if "." not in absent else f"is too old: it has no '{absent}'"
        with_extra = f", or `pip install 'vitapps[{extra}]'`" if extra else ""
        raise MissingError(
            f"the Python package '{wanted}' {fault}", hint=f"`pip install -U {wanted}`{with_extra}"
        ) from None
    return found


@contextmanager
def without(module: str) -> Iterator[None]:
    """Within the block an import of `module` fails as if it were not installed, unless it is loaded already: for what
    others import on the way and nobody needs."""
    with _importing:
        if module in sys.modules:
            yield
            return
        sys.modules[module] = None  # type: ignore[assignment]  # documented: an import of it raises ImportError
        try:
            yield
        finally:
            del sys.modules[module]  # who wants it later may have it
