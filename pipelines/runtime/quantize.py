"""Quantize a card's network after training, every method beside min-max: bits, size, and how far the output moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.progress import Progress, null_progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vitapps.shared_backbones.quantization._protocol import QuantConfig

BASELINE = "minmax"
HELD_OUT = 4  # every fourth calibration file is kept for the error


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantRow:
    """`error`: squared error of all outputs relative to those of the float model, on held-out inputs; `sqnr`: the same
    in decibels; `size`: bytes of weights at their bits, what stays float at 4 bytes; `float_size` before."""

    method: str
    bits: str
    error: float
    sqnr: float
    size: int
    float_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantReport:
    """One row for every method; `calibration` and `held_out` count input arrays; `out` is the written state."""

    card: str
    rows: tuple[QuantRow, ...]
    calibration: int
    held_out: int
    out: Path | None


def quantize_card(
    name: str,
    calib: Path,
    *,
    method: str,
    bits: str,
    out: Path | None = None,
    overwrite: bool = False,
    skip: Sequence[str] = (),
    progress: Progress = null_progress,
) -> QuantReport:
    """Quantize the network of card `name` with `method` and with min-max, and compare both with the float network.

    `calib`: a folder of `.npy` files, each an input as the network takes it, after the card's preprocessing,
    `C *spatial` or `B C *spatial`; three of four calibrate, the fourth measures. `out`: where the state of `method` is
    written as safetensors. Raises UnreadableInputError, MissingError, UsageError or OutputError.
    """
    import torch

    from vitapps.atomic import atomic_path, check_output
    from vitapps.require import require
    from vitapps.shared_backbones import models
    from vitapps.shared_backbones.quantization._protocol import QuantConfig, parse_bits, quantize
    from vitapps.shared_backbones.weights.cards import load_card
    from vitapps.shared_backbones.weights.load import load_weights

    if out is not None:
        check_output(out, overwrite=overwrite)
    card = load_card(name)
    weight_bits, act_bits = parse_bits(bits)
    used, kept = read_calibration(calib)
    model = models.build(card.arch, card.config).eval()
    load_weights(model, card)
    rows = []
    methods = list(dict.fromkeys((BASELINE, method)))
    with progress.task("quantizing", total=len(methods)) as task:
        for each in methods:
            config = QuantConfig(
                method=each, weight_bits=weight_bits, act_bits=act_bits, skip=(*QuantConfig().skip, *skip)
            )
            quantized = quantize(model, config, used)
            rows.append(_row(model, quantized, config, bits, kept))
            task.advance()
    if out is not None:
        files = require("safetensors.torch", package="safetensors")
        state = {key: value.contiguous() for key, value in quantized.state_dict().items()}
        facts = {"method": method, "bits": bits, "card": card.name, "skip": ",".join(config.skip)}
        with atomic_path(out, overwrite=overwrite) as temporary, torch.no_grad():
            files.save_file(state, temporary, metadata=facts)
    return QuantReport(card=card.name, rows=tuple(rows), calibration=len(used), held_out=len(kept), out=out)


def read_calibration(folder: Path) -> tuple[list[Tensor], list[Tensor]]:
    """(calibration, held out) inputs, each B C *spatial float32."""
    import numpy as np
    import torch

    paths = sorted(folder.glob("*.npy")) if folder.is_dir() else []
    if len(paths) < 2:
        raise UnreadableInputError(
            f"{folder}: {len(paths)} .npy files", hint="give a folder of 2 or more prepared inputs, C *spatial each"
        )
    arrays = []
    for path in paths:
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError):
            raise UnreadableInputError(f"{path}: not an array of numbers", hint="save it by numpy.save") from None
        if array.dtype.kind not in "fiu" or array.ndim < 2:
            raise UnreadableInputError(f"{path}: {array.dtype} of shape {array.shape}", hint="C *spatial numbers")
        arrays.append(torch.from_numpy(np.ascontiguousarray(array, np.float32)))
    dims = min(array.ndim for array in arrays)
    batches = [array.unsqueeze(0) if array.ndim == dims else array for array in arrays]  # C *spatial -> 1 C *spatial
    kept = batches[HELD_OUT - 1 :: HELD_OUT] or batches[-1:]
    used = [batch for batch in batches if not any(batch is held for held in kept)]
    return used, kept


def _row(model: nn.Module, quantized: nn.Module, config: QuantConfig, bits: str, inputs: Sequence[Tensor]) -> QuantRow:
    import math

    error = output_error(model, quantized, inputs)
    return QuantRow(
        method=config.method, bits=bits, error=error, sqnr=-10 * math.log10(max(error, 1e-30)),
        size=packed_size(quantized), float_size=4 * sum(part.numel() for part in model.state_dict().values()),
    )  # fmt: skip


def output_error(model: nn.Module, quantized: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Sum of squared differences of all outputs over the sum of squares of the float model's."""
    import torch

    wrong = whole = 0.0
    with torch.inference_mode():
        for batch in inputs:
            for one, other in zip(_parts(quantized(batch)), _parts(model(batch)), strict=True):
                wrong += float((one - other).double().square().sum())
                whole += float(other.double().square().sum())
    if whole == 0.0:
        raise UsageError("the float model answers zero to every input", hint="check the calibration inputs")
    return wrong / whole


def packed_size(quantized: nn.Module) -> int:
    """Bytes with rounded weights at their bits and everything else at 4 bytes."""
    from vitapps.shared_backbones.quantization._modules import QuantLinear
    from vitapps.shared_backbones.quantization._quantizers import Quantizer

    size = 4 * sum(int(part.numel()) for part in quantized.state_dict().values())
    for layer in quantized.modules():
        if isinstance(layer, QuantLinear) and isinstance(layer.weight_quantizer, Quantizer):
            size -= int(layer.weight.numel()) * (32 - layer.weight_quantizer.bits) // 8
    return size


def _parts(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)
