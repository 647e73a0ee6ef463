"""Weights into a module: safetensors only, every key accounted for, never other weights than the named ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vitapps.errors import MissingError
from vitapps.require import require
from vitapps.shared_backbones.weights.cards import Card, weights_path


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """Keys that the module has and the file has not, and the other way round; both empty after a strict load."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def load_weights(module: nn.Module, source: Card | Path | str, *, strict: bool = True) -> LoadReport:
    """Load a card's weights (sha256 checked) or a `.safetensors` file into `module`, which may be on the meta device.

    Stored halves become the module's own dtype. Raises MissingError for a file that is absent or unreadable, for any
    tensor of the wrong shape and, when `strict`, for missing or unexpected keys; the module is then unchanged.
    """
    path = weights_path(source) if isinstance(source, Card) else Path(source)
    return load_state(module, read_state(path), str(path), strict=strict)


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU; MissingError where it is absent or damaged."""
    if not path.is_file():
        raise MissingError(f"{path}: no such weights file", hint="check the path")
    files = require("safetensors.torch", package="safetensors")
    try:
        state: dict[str, Tensor] = files.load_file(path)
    except Exception as error:  # safetensors raises its own kinds, none of them public across versions
        raise MissingError(f"{path}: not a readable safetensors file: {error}", hint="restore the file") from None
    return state


def load_state(module: nn.Module, state: Mapping[str, Tensor], origin: str, *, strict: bool = True) -> LoadReport:
    """Put `state` into `module`; `origin` names it in messages. See `load_weights`."""
    own = module.state_dict()
    missing = tuple(key for key in own if key not in state)
    unexpected = tuple(key for key in state if key not in own)
    misshaped = [
        f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = [("misshaped", misshaped)]
    if strict:
        faults += [("missing", list(missing)), ("unexpected", list(unexpected))]
    found = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in faults
        if names
    ]
    if found:
        raise MissingError(
            f"{origin}: does not fit the model: {'; '.join(found)}", hint="use weights of this architecture"
        )
    fitted = {key: _as(value, own[key]) for key, value in state.items() if key in own}
    module.load_state_dict(fitted, strict=False, assign=True)
    return LoadReport(missing=missing, unexpected=unexpected)


def _as(value: Tensor, own: Tensor) -> Tensor:
    device = torch.device("cpu") if own.is_meta else own.device
    return value.to(device=device, dtype=own.dtype)
