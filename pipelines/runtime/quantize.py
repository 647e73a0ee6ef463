"""Quantize a card's network after training, methods beside min-max in one table: how far the output moves, size, and
the model's own metric."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.jsonable import json_ready
from vitapps.options import RunOptions
from vitapps.pipelines.runtime.kept import KeptParts
from vitapps.pipelines.runtime.own_metric import Judge, answering
from vitapps.progress import Progress, null_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Inputs = Path | Sequence[NDArray[np.float32]]

BASELINE, EVERY = "minmax", "all"
HELD_OUT = 4  # every fourth calibration input is kept for the error
TOGETHER = 8  # calibration inputs a batch


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeSettings:
    """`methods`: names of the family, "all" for every one; min-max is always beside them. `bits`: as `w4a8`, each a
    part of the table. `skip`: modules that stay float besides the default ones. `budget`: bits of a weight on average;
    layers then get 8, 6 or 4 by MPTQ-ViT's greedy search, for weights and inputs alike, and `bits` say nothing. `keep`:
    folder of finished rows, with which an interrupted table goes on."""

    methods: tuple[str, ...] = ("repq",)
    bits: tuple[str, ...] = ("w8a8",)
    skip: tuple[str, ...] = ()
    budget: float | None = None
    keep: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantRow:
    """`error`: squared error of all outputs relative to those of the float model, on held-out inputs; `sqnr`: the same
    in decibels; `size`: bytes of weights at their bits, what stays float at 4 bytes; `float_size` before; `metric`: the
    model's own, nan where it was not asked for; `fault`: why the method does not fit the network."""

    method: str
    bits: str
    error: float = math.nan
    sqnr: float = math.nan
    size: int = 0
    float_size: int = 0
    metric: float = math.nan
    fault: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantReport:
    """One row for every method and width; `calibration` and `held_out` count inputs; `out` is the written state;
    `metric` names the model's own metric, `float_metric` is that of the float network."""

    card: str
    rows: tuple[QuantRow, ...]
    calibration: int
    held_out: int
    out: Path | None
    metric: str = ""
    float_metric: float = math.nan


@dataclass(frozen=True, kw_only=True, slots=True)
class _Subject:
    """A network and what it is judged by."""

    card: Any
    model: nn.Module
    used: list[Tensor]
    kept: list[Tensor]
    judge: Judge | None
    options: RunOptions = field(default_factory=RunOptions)

    def metric(self, module: nn.Module) -> tuple[str, float]:
        """Name and value of the own metric with `module` in the network's place."""
        if self.judge is None:
            return "", math.nan
        with answering(self.card, module):
            found = self.judge.score(self.options)
        return found.name, found.value


def quantize_card(
    name: str,
    calib: Inputs,
    settings: QuantizeSettings | None = None,
    *,
    judge: Judge | None = None,
    out: Path | None = None,
    done: Callable[[Sequence[QuantRow]], None] = lambda _: None,
    options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> QuantReport:
    """Quantize the network of card `name` with every method of `settings`, and compare all with the float network.

    `calib`: inputs as the network takes them, after the card's preprocessing, 1 C *spatial each, or a folder of `.npy`
    files, C *spatial or B C *spatial each; three of four calibrate, the fourth measures. `judge`: the model's own
    metric, computed with each network. `out`: where the state of the only method is written as safetensors. `done` is
    called with the rows of each width. Raises UnreadableInputError, MissingError, UsageError or OutputError.
    """
    from vitapps.atomic import check_output
    from vitapps.shared_backbones import models
    from vitapps.shared_backbones.weights.cards import load_card
    from vitapps.shared_backbones.weights.load import load_weights

    settings, options = settings or QuantizeSettings(), options or RunOptions()
    if out is not None:
        check_output(out, overwrite=options.overwrite)
    names = _methods(settings, alone=out is not None)
    card = load_card(name)
    used, kept = split_calibration(read_calibration(calib) if isinstance(calib, Path) else _tensors(calib))
    model = models.build(card.arch, card.config).eval()
    load_weights(model, card)
    subject = _Subject(card=card, model=model, used=used, kept=kept, judge=judge, options=options)
    widths = (None,) if settings.budget else settings.bits
    metric, whole = subject.metric(model)
    finished = None if settings.keep is None else _FinishedRows(settings.keep, subject, settings, names)
    rows: list[QuantRow] = []
    with progress.task("quantizing", total=len(widths) * len(names)) as task:
        for bits in widths:
            for each in names:
                row = finished.read(each, bits) if finished is not None and out is None else None
                if row is None:
                    row, quantized = _quantized(subject, each, bits, settings)
                    if finished is not None:
                        finished.write(each, bits, row)
                rows.append(row)
                task.advance()
            done(rows[-len(names) :])
    if out is not None and quantized is not None:
        facts = {"method": each, "bits": rows[-1].bits, "card": card.name, "skip": ",".join(_skipped(settings))}
        _write(quantized, out, facts, overwrite=options.overwrite)
    return QuantReport(
        card=card.name, rows=tuple(rows), calibration=sum(map(len, used)), held_out=sum(map(len, kept)), out=out,
        metric=metric, float_metric=whole,
    )  # fmt: skip


class _FinishedRows:
    """Rows in a folder, each made from the network, what calibrates and measures it, and its own part of `settings`."""

    def __init__(self, folder: Path, subject: _Subject, settings: QuantizeSettings, methods: Sequence[str]) -> None:
        inputs = hashlib.sha256(b"".join(batch.numpy().tobytes() for batch in (*subject.used, *subject.kept)))
        self._made_from = [subject.card.sha256, inputs.hexdigest(), subject.judge is not None, _skipped(settings)]
        self._card, self._budget = subject.card.name, settings.budget
        widths = (None,) if settings.budget else settings.bits
        names = [self._name(method, bits) for method in methods for bits in widths]
        self._parts = KeptParts(folder, names, command="models quantize")

    def read(self, method: str, bits: str | None) -> QuantRow | None:
        """The row that was made from the same; None without one."""
        fields = self._parts.read(self._name(method, bits), self._made_from)
        if fields is None:
            return None
        known: dict[str, Any] = {key: math.nan if value is None else value for key, value in fields.items()}
        return QuantRow(**known)

    def write(self, method: str, bits: str | None, row: QuantRow) -> None:
        """Keep a finished row."""
        self._parts.write(self._name(method, bits), self._made_from, json_ready(row))

    def _name(self, method: str, bits: str | None) -> str:
        return f"{self._card}-{method}-{bits or f'mixed{self._budget:g}'}"


def _methods(settings: QuantizeSettings, *, alone: bool) -> list[str]:
    from vitapps.shared_backbones import slots

    asked = slots.members("quantization") if EVERY in settings.methods else list(settings.methods)
    for name in asked:
        slots.load("quantization", name)  # an unknown name is refused with close matches
    if alone and (len(set(asked)) > 1 or len(settings.bits) > 1):
        raise UsageError("--out holds one state", hint="give one method and one width")
    return list(dict.fromkeys((BASELINE, *asked)))


def _skipped(settings: QuantizeSettings) -> tuple[str, ...]:
    from vitapps.shared_backbones.quantization._protocol import QuantConfig

    return (*QuantConfig().skip, *settings.skip)


def _quantized(
    subject: _Subject, method: str, bits: str | None, settings: QuantizeSettings
) -> tuple[QuantRow, nn.Module | None]:
    """One row, and the network that it describes."""
    from vitapps.shared_backbones.quantization._protocol import QuantConfig, parse_bits, quantize
    from vitapps.shared_backbones.quantization.mptq import mixed_precision

    weight, act = (8, 8) if bits is None else parse_bits(bits)
    config = QuantConfig(method=method, weight_bits=weight, act_bits=act, skip=_skipped(settings))
    label = bits or f"mixed {settings.budget:g}"
    try:
        if bits is None and settings.budget is not None:
            config = mixed_precision(subject.model, config, subject.used, settings.budget)
        quantized = quantize(subject.model, config, subject.used)
    except UsageError as fault:
        if method == settings.methods[0]:
            raise
        return QuantRow(method=method, bits=label, fault=fault.message), None
    error = output_error(subject.model, quantized, subject.kept)
    row = QuantRow(
        method=method, bits=label, error=error, sqnr=-10 * math.log10(max(error, 1e-30)), size=packed_size(quantized),
        float_size=4 * sum(part.numel() for part in subject.model.state_dict().values()),
        metric=subject.metric(quantized)[1],
    )  # fmt: skip
    return row, quantized


def _write(quantized: nn.Module, out: Path, facts: dict[str, str], *, overwrite: bool) -> None:
    from vitapps.atomic import atomic_path
    from vitapps.require import require

    files = require("safetensors.torch", package="safetensors")
    state = {key: value.contiguous() for key, value in quantized.state_dict().items()}
    with atomic_path(out, overwrite=overwrite) as temporary:
        files.save_file(state, temporary, metadata=facts)


def _tensors(inputs: Sequence[NDArray[np.float32]]) -> list[Tensor]:
    import torch

    return [torch.from_numpy(array) for array in inputs]


def read_calibration(folder: Path) -> list[Tensor]:
    """The inputs of a folder of .npy files, each B C *spatial float32."""
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
    return [array.unsqueeze(0) if array.ndim == dims else array for array in arrays]  # C *spatial -> 1 C *spatial


def split_calibration(inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """(calibration, held out): every fourth is held out; the others of one shape go in batches."""
    import torch

    if len(inputs) < 2:
        raise UnreadableInputError(f"{len(inputs)} calibration inputs", hint="give 2 or more")
    kept = list(inputs[HELD_OUT - 1 :: HELD_OUT]) or [inputs[-1]]
    used = [one for one in inputs if not any(one is held for held in kept)]
    alike: dict[torch.Size, list[Tensor]] = {}
    for one in used:
        alike.setdefault(one.shape[1:], []).append(one)
    groups = [group[at : at + TOGETHER] for group in alike.values() for at in range(0, len(group), TOGETHER)]
    return [torch.cat(group) for group in groups], kept


def output_error(model: nn.Module, quantized: nn.Module, inputs: Sequence[Tensor]) -> float:
    """Sum of squared differences of all outputs over the sum of squares of the float model's."""
    import torch

    from vitapps.shared_backbones.quantization._recon import outputs

    wrong = whole = 0.0
    with torch.inference_mode():
        for batch in inputs:
            for one, other in zip(outputs(quantized(batch)), outputs(model(batch)), strict=True):
                wrong += float((one - other).double().square().sum())
                whole += float(other.double().square().sum())
    if whole == 0.0:
        raise UsageError("the float model answers zero to every input", hint="check the calibration inputs")
    return wrong / whole


def packed_size(quantized: nn.Module) -> int:
    """Bytes with rounded weights at their bits, codes of integer networks at one byte and everything else at four."""
    from vitapps.shared_backbones.quantization._modules import QuantLinear
    from vitapps.shared_backbones.quantization._quantizers import Quantizer

    size = sum(int(part.numel() * min(4, part.element_size())) for part in quantized.state_dict().values())
    for layer in quantized.modules():
        if isinstance(layer, QuantLinear) and isinstance(layer.weight_quantizer, Quantizer):
            size -= int(layer.weight.numel()) * (32 - layer.weight_quantizer.bits) // 8
    return size
