"""What `vitapps medical segment` is asked for, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from vitapps.datasets.formats.label_info import LabelInfo
from vitapps.errors import UsageError
from vitapps.pipelines.medical.structures import split_side
from vitapps.pipelines.medical.volumes import LabelVolume


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentChoices:
    """Options of one segmentation.

    `structures` are names or numbers of the labels to keep, "all" for every one (empty: all but the optional ones);
    `mask` writes 1 for all but the optional ones instead; `keep_largest` removes what is not connected to the main
    foreground and fills its holes; `refine` weighs the network's shares with the brightness of each tissue in this scan
    (`tissues.py`); `tta` averages with the mirrored scan; `preview` draws `<out>.preview.png`; `series`
    and `volume` choose inside a DICOM folder or a 4-D file (counted from 0).
    """

    format: str | None = None
    structures: tuple[str, ...] = ()
    mask: bool = False
    keep_largest: bool = True
    refine: bool = True
    tta: bool = False
    preview: bool = False
    volumes: Path | None = None
    series: str | None = None
    volume: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentResult:
    """One segmented scan. Volumes are of hard labels on the scan's own grid; timings are wall seconds by stage."""

    input: Path
    out: Path
    model: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    labels: tuple[LabelVolume, ...]
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    preview: Path | None = None
    volumes: Path | None = None

    @property
    def total_ml(self) -> float:
        """Volume of everything that was labelled."""
        return sum(label.ml for label in self.labels)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready mapping; paths as text."""
        table = {name: getattr(self, name) for name in self.__slots__}
        table["labels"] = [asdict(label) for label in self.labels]
        table["total_ml"] = round(self.total_ml, 4)
        return {key: str(value) if isinstance(value, Path) else value for key, value in table.items()}


def choose_structures(infos: Sequence[LabelInfo], wanted: Sequence[str]) -> tuple[LabelInfo, ...]:
    """Labels by number or name; a name without its side (`hippocampus`) means both, `all` every label.

    Nothing asked for means all but the optional ones. Raises UsageError for an unknown name.
    """
    chosen: list[LabelInfo] = []
    for word in wanted:
        key = word.strip().lower()
        if key == "all":
            return tuple(infos)
        found = [
            info for info in infos
            if info.value and key in (str(info.value), info.name.lower(), split_side(info.name)[1].lower())
        ]  # fmt: skip
        if not found:
            names = sorted({info.name for info in infos if info.value})
            near = get_close_matches(key, names + [split_side(name)[1] for name in names], 3, 0.5)
            hint = f"did you mean {', '.join(dict.fromkeys(near))}?" if near else f"there are: {', '.join(names)}"
            raise UsageError(f"--labels {word}: the model has no such structure", hint=hint)
        chosen += [info for info in found if info not in chosen]
    return tuple(chosen) or tuple(info for info in infos if not info.optional)
