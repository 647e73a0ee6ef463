"""`vitapps batch report`: one HTML page from the journal. It needs no network and no other file to be read.

All items are embedded as JSON and shown by pages; whatever comes from a file name or an error is put into the page as
text, never as markup. Small previews are embedded, further ones are loaded from their files when they are scrolled to.
"""

from __future__ import annotations

import base64
import io
import json
import os
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vitapps.atomic import write_text
from vitapps.jsonable import json_ready, shown
from vitapps.pipelines.batch.journal import Journal, Record
from vitapps.pipelines.batch.quantities import shown_seconds, shown_time
from vitapps.pipelines.batch.report_charts import run_bars, throughput_bars

PAGE = Path(__file__).with_name("report_page.html")
MOST_ITEMS = 50_000  # beyond it only the failures, the slowest and the latest are listed
MOST_EMBEDDED = 300  # previews inside the page; about 5 kB each
THUMBNAIL = 200  # pixels of the longer side
_SLOWEST = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Where the page is and what it shows."""

    page: Path
    items: int
    listed: int
    failed: int
    bytes: int


def write_report(state: Path, out: Path | None = None) -> Report:
    """Write the page of the job in `state` to `out` (`<state>/report.html`), replacing an older one."""
    page = out or state / "report.html"
    journal = Journal(state / "journal.sqlite", read_only=True)
    try:
        records, runs = list(journal.records(where="1 ORDER BY seq")), journal.runs()
    finally:
        journal.close()
    listed = _chosen(records)
    name = state.name.removesuffix(".batch")
    text = _render(name, records, listed, runs, page.parent.absolute())
    write_text(page, text, overwrite=True)
    failed = sum(record.state == "failed" for record in records)
    return Report(page=page, items=len(records), listed=len(listed), failed=failed, bytes=len(text.encode()))


def _chosen(records: list[Record]) -> list[Record]:
    if len(records) <= MOST_ITEMS:
        return records
    failed = [record for record in records if record.state != "done"]
    slow = sorted(records, key=lambda record: -record.seconds)[:_SLOWEST]
    kept = {(record.step, record.key): record for record in [*failed[:MOST_ITEMS], *slow]}
    for record in reversed(records):
        if len(kept) >= MOST_ITEMS:
            break
        kept.setdefault((record.step, record.key), record)
    return sorted(kept.values(), key=lambda record: record.seq)


def _render(
    name: str, records: Sequence[Record], listed: Sequence[Record], runs: list[dict[str, Any]], folder: Path
) -> str:
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    steps = sorted({record.step for record in records})
    thumbnails = _thumbnails(listed)
    items = [_row(record, steps, folder, thumbnails) for record in listed]
    data = json.dumps({"steps": steps, "items": items}, ensure_ascii=False, separators=(",", ":"))
    causes = Counter((record.kind, record.step) for record in records if record.state == "failed")
    last: dict[str, Any] = runs[-1] if runs else {}
    return environment.from_string(PAGE.read_text(encoding="utf-8")).render(
        name=name,
        last=last,
        started=shown_time(runs[0]["started"]) if runs else "",
        totals=_totals(records),
        steps=[_step_row(step, records) for step in steps],
        causes=[(kind, step, number, _example(records, kind, step)) for (kind, step), number in causes.most_common()],
        slowest=[(shown(record.key), record.step, shown_seconds(record.seconds)) for record in _slowest(records)],
        throughput=throughput_bars([(r.finished, r.state == "failed") for r in records if r.finished]),
        runs=run_bars(runs),
        run_rows=[_run_row(run) for run in runs[-20:]],
        machine=last.get("machine", {}),
        weights=sorted({part for record in records for part in record.weights.split()}),
        left_out=len(records) - len(listed),
        previews=sum(bool(record.preview) for record in listed),
        # a closing tag inside a string would end the script element
        data=data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
    )


def _totals(records: Sequence[Record]) -> list[tuple[str, str]]:
    done = [record for record in records if record.state == "done"]
    failed = sum(record.state == "failed" for record in records)
    flight = len(records) - len(done) - failed
    size = sum(record.size for record in done if record.size > 0)
    rows = [("inputs", f"{len(records):,}"), ("done", f"{len(done):,}"), ("failed", f"{failed:,}")]
    rows += [("in flight", f"{flight:,}")] if flight else []
    rows += [("read", f"{size / 1e9:.2f} GB" if size > 1e9 else f"{size / 1e6:.1f} MB")]
    if done:
        rows += [("median time", shown_seconds(statistics.median(record.seconds for record in done)))]
        rows += [("CPU time", shown_seconds(sum(record.cpu for record in done)))]
    return rows


def _step_row(step: str, records: Sequence[Record]) -> tuple[str, int, int, str]:
    mine = [record for record in records if record.step == step]
    done = [record.seconds for record in mine if record.state == "done"]
    failed = sum(record.state == "failed" for record in mine)
    return step, len(done), failed, shown_seconds(statistics.median(done)) if done else "–"


def _slowest(records: Sequence[Record]) -> list[Record]:
    return sorted((record for record in records if record.seconds), key=lambda record: -record.seconds)[:_SLOWEST]


def _example(records: Sequence[Record], kind: str, step: str) -> str:
    return next(r.error for r in records if r.state == "failed" and (r.kind, r.step) == (kind, step))


def _run_row(run: dict[str, Any]) -> tuple[Any, ...]:
    length = shown_seconds(max(0.0, run["ended"] - run["started"])) if run["ended"] else "–"
    counts = run["counts"]
    return (
        run["id"],
        shown_time(run["started"]),
        length,
        run["state"],
        counts.get("done", "–"),
        counts.get("failed", "–"),
    )


def _row(record: Record, steps: list[str], folder: Path, thumbnails: dict[str, str]) -> list[Any]:
    """Short, because there are thousands: the page's script names the positions."""
    figures = "  ".join(f"{key} {json_ready(value)}" for key, value in record.summary.items())
    preview = _link(record.preview, folder)
    return [
        steps.index(record.step), shown(record.key), record.state, round(record.seconds, 4),
        shown_time(record.finished) if record.finished else "", record.kind, record.error, record.command,
        _link(record.out, folder) if record.state == "done" else "", preview, figures,
        thumbnails.get(record.preview, "") if preview else "", "; ".join(record.warnings),
    ]  # fmt: skip


def _link(path: str, folder: Path) -> str:
    """A relative URL from the page to a file; any bytes of a name survive."""
    return quote(os.fsencode(os.path.relpath(path, folder))) if path else ""


def _thumbnails(records: Sequence[Record]) -> dict[str, str]:
    """Preview path -> data URL of a small JPEG."""
    from PIL import Image

    found: dict[str, str] = {}
    for record in records:
        if not record.preview or len(found) >= MOST_EMBEDDED:
            continue
        try:
            with Image.open(record.preview) as image:
                small = image.convert("RGB")
                small.thumbnail((THUMBNAIL, THUMBNAIL))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue  # gone or damaged since: the page shows its name
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=70)
        found[record.preview] = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return found
