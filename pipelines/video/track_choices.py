"""What a command line may choose of the trackers; imports nothing, so that `--help` stays quick."""

from __future__ import annotations

from typing import Literal

TrackerKind = Literal["auto", "filter", "network", "fused"]
