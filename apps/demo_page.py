"""The page of `vitapps demo`: one HTML file with its pictures inside, no script, no address of another site."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitapps import __version__
from vitapps.atomic import write_text
from vitapps.jsonable import shown

if TYPE_CHECKING:
    from vitapps.apps.demo import StepOutcome

_KINDS = {".png": "image/png", ".jpg": "image/jpeg"}
_SHOWN_ELSEWHERE = {"input", "out", "preview", "record", "timings", "warnings"}
_ROWS = 60  # a table of a page that is to be read by a person


def write_page(path: Path, outcomes: Sequence[StepOutcome]) -> None:
    """Write the page atomically; an older page is replaced (the command asked about the folder before)."""
    from jinja2 import Environment

    template = files("vitapps.apps").joinpath("demo_page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    sections = [_section(outcome) for outcome in outcomes]
    text = environment.from_string(template).render(version=__version__, sections=sections)
    write_text(path, text, overwrite=True)


def data_uri(picture: Path) -> str:
    """The picture as a `data:` address."""
    content = base64.b64encode(picture.read_bytes()).decode("ascii")
    return f"data:{_KINDS[picture.suffix.lower()]};base64,{content}"


def _section(outcome: StepOutcome) -> dict[str, Any]:
    record = outcome.record
    result = {key: value for key, value in outcome.result.items() if key not in _SHOWN_ELSEWHERE}
    facts = [
        (name, record[key]) for name, key in (("engine", "engine"), ("precision", "precision"), ("device", "device"),
        ("threads", "threads")) if record.get(key)
    ]  # fmt: skip
    return {
        "title": outcome.step.title,
        "about": outcome.step.about,
        "line": outcome.line,
        "code": outcome.code,
        "seconds": f"{outcome.seconds:.1f}",
        "picture": data_uri(outcome.picture) if outcome.picture else "",
        "text": shown(outcome.text.strip()),
        "facts": [(name, _cell(value)) for name, value in facts],
        "timings": [(stage, f"{seconds:.2f}") for stage, seconds in record.get("timings", {}).items()],
        "warnings": [shown(str(warning)) for warning in record.get("warnings", [])],
        "figures": [(key, _cell(value)) for key, value in result.items() if _is_plain(value) and value != ""],
        "tables": list(_tables(result)),
        "outputs": [outcome.step.out] if outcome.step.out and not outcome.code else [],
    }


def _tables(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every list of mappings as a table, every mapping of plain values as two columns, every list of words as one."""
    for name, value in result.items():
        if isinstance(value, dict) and value:
            yield {"name": name, "header": [], "rows": [[key, _cell(item)] for key, item in value.items()], "more": 0}
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            header = [key for key in value[0] if _is_plain(value[0][key])]
            rows = [[_cell(item.get(key, "")) for key in header] for item in value[:_ROWS]]
            yield {"name": name, "header": header, "rows": rows, "more": max(0, len(value) - _ROWS)}
        elif isinstance(value, list) and value and not all(isinstance(item, (int, float)) for item in value):
            rows = [[_cell(item)] for item in value]
            yield {"name": name, "header": [], "rows": rows, "more": 0}


def _is_plain(value: Any) -> bool:
    numbers = isinstance(value, list) and bool(value) and all(isinstance(item, (int, float)) for item in value)
    return isinstance(value, (str, int, float)) or numbers


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " × ".join(_cell(item) for item in value) if _is_plain(value) else ", ".join(map(_cell, value))
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else shown(str(value))
