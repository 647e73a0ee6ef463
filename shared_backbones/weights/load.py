"""Weights into a module: safetensors only, every key accounted for, never other weights than the named ones.

`load_module` builds on the meta device, so that no random numbers are drawn for weights that are overwritten, and maps
the file in: what float32 the file holds is shared with the page cache until it is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from vitapps.errors import MissingError
from vitapps.require import require
from vitapps.shared_backbones.weights.cards import Card, weights_path


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """Keys that the module has and the file has not, and the other way round; both empty after a strict load."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def load_module(card: Card, source: Path | None = None) -> nn.Module:
    """The network of a card with its weights (or those of the safetensors file `source`), in evaluation mode.

    Raises MissingError as `load_weights` does; every tensor must be in the file.
    """
    from vitapps.shared_backbones.models import build

    with parameters_on_meta():
        module = build(card.arch, card.config)
    load_weights(module, source or card)
    return module.eval()


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules that this thread builds in the block get parameters without memory or values.

    Not `torch.device("meta")`: tables that a module computes and does not save (sines, rotations) must keep values.
    """
    owner = threading.get_ident()

    def without_memory(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta or threading.get_ident() != owner:
            return parameter
        return nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)

    # torch documents a returned parameter as the one that is registered, its annotation says None
    handle = register_module_parameter_registration_hook(cast(Any, without_memory))
    try:
        yield
    finally:
        handle.remove()


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


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file: safetensors, or a pickle of tensors (`weights_only=True`), whose state may stand
    under "net", "model", "module" or "state_dict". Raises MissingError for a file that is absent or not readable so."""
    if path.suffix == ".safetensors" or not path.is_file():
        return read_state(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("net", "model", "module", "state_dict"):
            found = found.get(key, found)
        return {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    except Exception as error:  # pickle, zip and the file system share no base class
        raise MissingError(
            f"{path}: not readable weights: {type(error).__name__}",
            hint="a pickle of more than tensors is not opened: save its state alone as .safetensors",
        ) from None


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
