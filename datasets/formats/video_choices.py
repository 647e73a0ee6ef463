"""What a command line may choose of a clip reader; imports nothing, so that `--help` stays quick."""

from __future__ import annotations

from typing import Literal

Decoder = Literal["auto", "pyav", "decord"]
