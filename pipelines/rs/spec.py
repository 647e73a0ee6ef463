"""What a detector's weight card says about its use on rasters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitapps.errors import MissingError, UsageError
from vitapps.pipelines.rs.confirm import MAX_CANDIDATES
from vitapps.pipelines.windows.boxes import Floats

_KEYS = {"gsd", "window", "overlap", "nms_iou", "peaks", "top_k", "confirm", "scales"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorSpec:
    """`gsd` metres per model pixel, `window` model pixels a side, `overlap` 0..1, `names` and `thresholds` by class
    index; `peaks` asks for 3x3 peak search in the score maps, `top_k` is the most candidates of one window,
    `confirm` the weight of agreement with a watershed (`confirm.py`). `scales` are factors of enlargement of the looks
    that are fused (`fuse.py`); `more_scales` with `more_thresholds` are those of a thorough search."""

    gsd: float
    window: int
    overlap: float
    nms_iou: float
    names: tuple[str, ...]
    thresholds: tuple[float, ...]
    peaks: bool = False
    top_k: int = MAX_CANDIDATES
    confirm: float = 0.0
    scales: tuple[float, ...] = (1.0,)
    more_scales: tuple[float, ...] = ()
    more_thresholds: tuple[float, ...] = ()

    def thorough(self) -> DetectorSpec:
        """That of a thorough search; raises UsageError when the card tells of none."""
        if not self.more_scales:
            raise UsageError("--thorough: these weights know one scale only", hint="leave --thorough out")
        return replace(self, scales=self.more_scales, thresholds=self.more_thresholds)

    def at(self, scale: float) -> DetectorSpec:
        """That of a look at a raster which is enlarged by `scale`."""
        return replace(self, gsd=self.gsd / scale)

    def floor(self, wanted: float | None = None) -> Floats:
        """The lowest score to keep, by class: `wanted`, else the thresholds of the card."""
        return np.array(self.thresholds) if wanted is None else np.full(len(self.names), wanted)


def spec_of(name: str, preprocess: Mapping[str, Any], labels: list[dict[str, Any]]) -> DetectorSpec:
    """Read the parts of a card; raises MissingError when one is missing, wrong or unknown."""
    unknown = set(preprocess) - _KEYS
    try:
        if unknown:
            raise ValueError(f"unknown preprocessing {', '.join(sorted(unknown))}")
        window = preprocess["window"]
        if isinstance(window, list):
            if len(set(window)) != 1:
                raise ValueError(f"windows of {window} are not square")
            window = window[0]
        return DetectorSpec(
            gsd=float(preprocess["gsd"]),
            window=int(window),
            overlap=float(preprocess["overlap"]),
            nms_iou=float(preprocess["nms_iou"]),
            names=tuple(str(label["name"]) for label in labels),
            thresholds=tuple(float(label.get("threshold", 0.5)) for label in labels),
            peaks=bool(preprocess.get("peaks", False)),
            top_k=int(preprocess.get("top_k", MAX_CANDIDATES)),
            confirm=float(preprocess.get("confirm", 0.0)),
            more_scales=tuple(float(scale) for scale in preprocess.get("scales", ())),
            more_thresholds=tuple(float(label.get("thorough", 0.5)) for label in labels),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise MissingError(f"weights {name!r}: the card is not usable ({error})", hint="`vitapps doctor`") from error
