"""What happens in a clip as JSON, as a table, or as subtitles that any player shows."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vitapps.errors import UsageError

if TYPE_CHECKING:
    from vitapps.pipelines.video.action import Segment, Told

SUFFIXES = (".json", ".csv", ".srt")


def check_action_output(out: Path) -> None:
    """UsageError for a suffix that is not written."""
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"-o {out}: actions are not written as '{out.suffix}'", hint=f"one of {', '.join(SUFFIXES)}")


def write_actions(path: Path, clip: Sequence[Told], segments: Sequence[Segment]) -> None:
    """Write by the suffix of `path`; seconds count from the clip's begin."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        table = {"clip": [asdict(item) for item in clip], "segments": [asdict(item) for item in segments]}
        path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    elif suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["start_s", "end_s", "label", "score"])
            writer.writeheader()
            writer.writerows(asdict(item) for item in segments)
    else:
        path.write_text("\n".join(_subtitle(number, item) for number, item in enumerate(segments, 1)), encoding="utf-8")


def _subtitle(number: int, item: Segment) -> str:
    return f"{number}\n{_clock(item.start_s)} --> {_clock(item.end_s)}\n{item.label} {item.score:.0%}\n"


def _clock(seconds: float) -> str:
    """Seconds as SubRip writes them: 01:02:03,004."""
    whole = round(seconds * 1000)
    return f"{whole // 3600000:02d}:{whole // 60000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"
