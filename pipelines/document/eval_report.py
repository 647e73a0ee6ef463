"""The page of `doc eval`: figures of each engine, and true and found text of each page with their differences marked,
in one HTML file that needs no other."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitapps import __version__
from vitapps.atomic import write_text
from vitapps.pipelines.document.evaluate import EngineScore, PageScore
from vitapps.pipelines.document.text_scores import ErrorRate, folded_text

_TEMPLATE = Path(__file__).with_name("eval_report.html")
_TOKEN = re.compile(r"\S+\s*")


def write_eval_report(
    path: Path,
    scores: Sequence[PageScore],
    totals: Sequence[EngineScore],
    *,
    command: str = "",
    overwrite: bool = False,
) -> None:
    """Write the page atomically."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    rows = [figures(item) for item in totals]
    pages = [_page(score) for score in scores]
    text = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        rows=rows, pages=pages, totals=totals, version=__version__, command=command
    )
    write_text(path, text, overwrite=overwrite)


def figures(item: EngineScore) -> dict[str, str]:
    """What is printed of an engine, by column."""
    cover = "" if item.cover is None else f"{item.cover:.1f}"
    bag = f"{100 * item.bag.precision:.1f} / {100 * item.bag.recall:.1f} / {100 * item.bag.f1:.1f}"
    return {
        "engine": item.engine, "pages": str(item.pages), "CER %": rate(item.cer), "strict %": rate(item.strict),
        "WER %": rate(item.wer), "order-free %": rate(item.free), "words P / R / F1": bag, "cover %": cover,
        "ECE": f"{item.calibration_error:.3f}", "CPU s/page": f"{item.cpu_s:.2f}",
    }  # fmt: skip


def rate(found: ErrorRate | None) -> str:
    """`1.80 (1.10-2.60)`: percent with its interval."""
    return "" if found is None else f"{found.rate:.2f} ({found.low:.2f}-{found.high:.2f})"


def marked(truth: str, found: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts in pieces, and whether each differs; words that only folding makes alike count as alike."""
    one, other = _TOKEN.findall(truth), _TOKEN.findall(found)
    matcher = difflib.SequenceMatcher(
        None, [folded_text(token) for token in one], [folded_text(token) for token in other], autojunk=False
    )
    left, right = [], []
    for kind, a, b, c, d in matcher.get_opcodes():
        left.append(("".join(one[a:b]), kind != "equal"))
        right.append(("".join(other[c:d]), kind != "equal"))
    return [piece for piece in left if piece[0]], [piece for piece in right if piece[0]]


def _page(score: PageScore) -> dict[str, Any]:
    truth, found = marked(score.truth, score.found)
    cer = 100 * score.edits / score.length if score.length else None
    free = 100 * score.free_edits / max(score.free_length, 1)
    return {"score": score, "truth": truth, "found": found, "cer": cer, "free": free}
