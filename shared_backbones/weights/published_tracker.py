"""Published one-stream trackers as our `Tracker`: `ostrack:FILE`, `lorat:FILE` and `lorat:FILE,DINOV2_FILE[,SIDE]`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitapps.errors import UsageError
from vitapps.provenance import sha256_file
from vitapps.shared_backbones.convert.lorat import complete_lorat, config_from_lorat, convert_lorat
from vitapps.shared_backbones.convert.ostrack import config_from_ostrack, convert_ostrack
from vitapps.shared_backbones.models.tracker import Tracker, TrackerConfig
from vitapps.shared_backbones.weights.load import load_state, read_checkpoint

KINDS = ("lorat", "ostrack")
_SIDE = 224  # pixels of LoRAT's smaller variants


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedTracker:
    """`module` in evaluation mode. The search region is `factor` times as wide as the object, the template 2 times, by
    the root of its area or, `around` "sides", by both sides plus `factor` - 1 times their mean (LoRAT)."""

    module: Tracker
    config: TrackerConfig
    factor: float
    around: Literal["area", "sides"]
    sha256: str
    name: str


def load_published_tracker(spec: str) -> PublishedTracker:
    """Raises UsageError for a `spec` or an architecture that is not known, MissingError for files that are not there,
    not readable or do not fit."""
    kind, _, rest = spec.partition(":")
    if kind not in KINDS or not rest:
        raise UsageError(f"'{spec}' is no published tracker", hint="ostrack:FILE, or lorat:FILE,DINOV2_FILE")
    files = rest.split(",")
    path = Path(files[0])
    state = read_checkpoint(path)
    if kind == "ostrack":
        config, state = config_from_ostrack(state), convert_ostrack(state)
    else:
        base = read_checkpoint(Path(files[1])) if len(files) > 1 else None
        whole = complete_lorat(state, base, _side(files[2]) if len(files) > 2 else _SIDE)
        config, state = config_from_lorat(whole), convert_lorat(whole)
    module = Tracker(config)
    load_state(module, state, spec)
    wide = kind == "ostrack" and config.search > 256  # of its two sizes the larger also sees more around the object
    return PublishedTracker(
        module=module.eval(), config=config, factor=5.0 if wide else 4.0,
        around="sides" if kind == "lorat" else "area", sha256=sha256_file(path), name=f"{kind}:{path.name}",
    )  # fmt: skip


def _side(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"'{text}': no side of the search region in pixels", hint="lorat:FILE,DINOV2_FILE,378")
    return int(text)
