"""How to run, as chosen on the command line; the same record for every command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EngineName = Literal["auto", "openvino", "onnxruntime", "torch", "torch-packed", "torch-compile"]
Precision = Literal["auto", "exact", "bf16", "int8"]
NO_REDUCTION = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """Device, engine and precision of a run.

    `device` is `auto`, `cpu`, `cuda` or `cuda:N`; `threads` 0 means all cores this process may use;
    `precision` `auto` is the fastest that stays within the tolerance of the weight card; `reduce`: fewer tokens in the
    ViTs of the network, such as `tome:r=13`.
    """

    device: str = "auto"
    engine: EngineName = "auto"
    precision: Precision = "auto"
    threads: int = 0
    overwrite: bool = False
    seed: int = 0
    reduce: str = NO_REDUCTION
