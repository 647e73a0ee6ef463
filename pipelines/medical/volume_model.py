"""A volume model: the preprocessing that its card asks for, and class scores on its own grid.

The model is loaded once and used for many scans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.label_info import LabelInfo
from vitapps.datasets.formats.volume import Volume
from vitapps.datasets.formats.volume_checks import GIB, memory_limit
from vitapps.errors import MissingError, OutOfMemoryError
from vitapps.options import RunOptions
from vitapps.pipelines.medical.orientation import Turn, turn_to
from vitapps.pipelines.medical.place import Region, find_region, mirrored, with_place
from vitapps.pipelines.medical.resample import Matrix, downsample_matrix, output_size, resample, upsample_matrix
from vitapps.pipelines.medical.structures import label_infos, mirror_order
from vitapps.pipelines.medical.tissues import tissue_numbers
from vitapps.pipelines.windows.band import FULL
from vitapps.pipelines.windows.stitch import tile_rows
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.heads.voxel import ShareHead, head_of

TASK = "medical.segment"
DEFAULT_CARD = "brain-mr-synth"
FIRST_OVERLAP = 0.25  # of the windows that only find the foreground

Floats = NDArray[np.float32]
Shares = NDArray[np.uint16]  # in steps of 1 / FULL, half the memory of float32 in all that follows


class Network(Protocol):
    """What `engines.load.load_model` returns, as far as it is used here."""

    @property
    def engine(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def threads(self) -> int: ...

    def __call__(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """B 1 D H W in 0..1, or B 4 D H W with the place -> (B K D H W logits, or what the head makes shares of,)."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocess:
    """Table `preprocess` of a card: spacing in mm along the turned axes, window in voxels, percentiles in percent.

    `place`: the network takes three more channels (`place.py`).
    """

    orientation: str
    spacing: tuple[float, float, float]
    window: tuple[int, int, int]
    overlap: float
    low: float
    high: float
    plausible_ml: tuple[float, float]
    place: bool

    @classmethod
    def of(cls, card: Any) -> Preprocess:
        """Raises MissingError when the card asks for what is not known here."""
        table: Mapping[str, Any] = card.preprocess
        try:
            normalise = table["normalise"]
            if normalise["kind"] != "percentile":
                raise KeyError(f"normalise.kind {normalise['kind']}")
            low, high = table.get("plausible_ml", (600.0, 2200.0))
            return cls(
                orientation=str(table["orientation"]),
                spacing=_three(table["spacing"], float),
                window=_three(table["window"], int),
                overlap=float(table.get("overlap", 0.5)),
                low=float(normalise["low"]),
                high=float(normalise["high"]),
                plausible_ml=(float(low), float(high)),
                place=bool(table.get("place", False)),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise MissingError(f"{card.name}: its card lacks or has a wrong {error}", hint="fix the card") from error


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scan on the network grid: `image` D H W in 0..1, and the way back.

    `scan` X Y Z is the turned scan as it was read; its brightness `darkest` is 0 and `brightest` is 1.
    """

    image: NDArray[np.float32]
    turn: Turn
    up: tuple[Matrix, Matrix, Matrix]
    scan: NDArray[Any]
    darkest: float
    brightest: float

    def brightness(self, where: Any) -> NDArray[np.float32]:
        """Brightness 0..1 of the scan's own voxels at the index `where`."""
        values = np.nan_to_num(np.asarray(self.scan[where], np.float32), nan=self.darkest)
        found: Floats = np.clip((values - np.float32(self.darkest)) / np.float32(self.brightest - self.darkest), 0, 1)
        return found


class VolumeModel:
    """Card and compiled network. `scores(prepared)` gives K D H W class shares that sum to FULL."""

    def __init__(self, card: Any, network: Network, *, once: bool = False, head: ShareHead | None = None) -> None:
        self.card, self._once = card, once
        self.head = head or head_of(card)
        self.network = network
        self.preprocess = Preprocess.of(card)
        self.infos: tuple[LabelInfo, ...] = label_infos(card.labels)
        self._mirror = mirror_order(card.labels)
        names = [str(row.get("tissue", "")) for row in card.labels]
        self.tissues = tissue_numbers(names) if all(names) else None

    @classmethod
    def load(cls, weights: str | None, options: RunOptions, *, once: bool = False) -> VolumeModel:
        """Load a card by name or path and compile its graph; `once`: for one scan, after which the network's memory is
        of no more use. Raises MissingError."""
        from vitapps.shared_backbones.engines.load import load_model
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(weights or DEFAULT_CARD, TASK)
        Preprocess.of(card)  # an unusable card is refused before its graph is compiled
        return cls(card, load_model(card, options), once=once)

    def shared(self, network: Callable[..., Sequence[NDArray[np.float32]]]) -> VolumeModel:
        """The same model computing through `network`, which stands before its own for several threads."""
        return VolumeModel(self.card, _Shared(self.network, network), head=self.head)

    def prepare(self, volume: Volume) -> Prepared:
        """Turn, resample and normalise a scan. Raises OutOfMemoryError when its scores would not fit in memory."""
        turn = turn_to(volume.meta.affine, self.preprocess.orientation)
        turned = turn.apply(volume.array)
        spacing = [volume.meta.spacing[axis] for axis in turn.axes]
        steps = [wanted / own for wanted, own in zip(self.preprocess.spacing, spacing, strict=True)]
        self._check_memory(volume, [output_size(n, step) for n, step in zip(turned.shape, steps, strict=True)])
        matrices = [downsample_matrix(n, step) for n, step in zip(turned.shape, steps, strict=True)]
        image = resample(_finite(turned), matrices)
        up = [upsample_matrix(n, step) for n, step in zip(turned.shape, steps, strict=True)]
        darkest, brightest = normalise(image, self.preprocess.low, self.preprocess.high)
        return Prepared(image, turn, (up[0], up[1], up[2]), turned, darkest, brightest)

    def scores(self, prepared: Prepared, *, tta: bool = False, progress: Progress = null_progress) -> Shares:
        """Class shares K D H W; with `tta` the mean of the scan and its left-right mirror image."""
        image, inside = _in_air(prepared.image, self.preprocess.window)
        if not self.preprocess.place:
            found = np.zeros((len(self.infos), *image.shape), np.uint16)
            self._stitch(image[None], found, tta, progress)  # D H W -> 1 D H W
        else:
            found = self._placed_scores(image, tta, progress)
        return found[(slice(None), *inside)]

    def _placed_scores(self, image: Floats, tta: bool, progress: Progress) -> Shares:
        """Two passes: find the foreground, then give its box to the network with the place of every voxel."""
        region = self._region(image, progress)
        shares = np.zeros((len(self.infos), *image.shape), np.uint16)
        shares[0] = FULL
        if region is not None:
            box = (slice(None), *region.box)
            shares[0][region.box] = 0
            x = with_place(image[region.box], region, self.preprocess.spacing)  # d h w -> 4 d h w
            self._stitch(x, shares[box], tta, progress)
        if self._once:
            getattr(self.network, "release", _nothing)()  # before the scan's own grid needs memory
        return shares

    def _region(self, image: Floats, progress: Progress) -> Region | None:
        """Where the foreground lies, by a pass without a place."""
        x = with_place(image, None, self.preprocess.spacing)  # D H W -> 4 D H W
        foreground = np.zeros((1, *image.shape), np.float32)
        self._stitch(x, foreground, False, progress, overlap=FIRST_OVERLAP)
        return find_region(foreground[0], self.preprocess.spacing, self.preprocess.window)

    def _stitch(
        self, x: Floats, into: NDArray[Any], tta: bool, progress: Progress, *, overlap: float | None = None
    ) -> None:
        """Blend the class shares of C D H W into K D H W; if `into` has one class, that of all but the background."""

        def window_shares(part: Floats) -> Iterator[tuple[slice, Floats]]:
            for rows, shares in self._shares(part, tta):  # K r H W
                yield rows, 1.0 - shares[:1] if len(into) == 1 else shares

        overlap = self.preprocess.overlap if overlap is None else overlap
        tile_rows(x, window_shares, into, window=self.preprocess.window, overlap=overlap, progress=progress)

    def _shares(self, part: Floats, tta: bool) -> Iterator[tuple[slice, Floats]]:
        """Class shares K r H W of a window 1 C D H W, a few rows at a time."""
        axis = next(i for i, code in enumerate(self.preprocess.orientation) if code in "LR")
        other = self.network(mirrored(part, axis))[0] if tta else None
        found, head = self._answers(part), self.head
        for start in range(0, found.shape[2], head.step):
            rows = slice(start, min(start + head.step, found.shape[2]))
            shares = head.shares(found, rows)[0]
            if other is not None:
                there = slice(other.shape[2] - rows.stop, other.shape[2] - rows.start) if axis == 0 else rows
                back = np.flip(head.shares(other, there)[0], axis + 1)
                shares = 0.5 * shares + 0.5 * back[self._mirror]
            yield slice(rows.start * head.scale, rows.stop * head.scale), shares

    def _answers(self, part: Floats) -> Floats:
        """What the network gives for one window 1 C D H W; the next call may overwrite it."""
        return (getattr(self.network, "lend", None) or self.network)(part)[0]

    def _check_memory(self, volume: Volume, size: list[int]) -> None:
        needed = (2 * len(self.infos) + 24) * int(np.prod(size, dtype=object))  # shares, weights, image and place
        if needed > memory_limit():
            raise OutOfMemoryError(
                f"{volume.meta.source}: {size[0]} x {size[1]} x {size[2]} voxels at the model's spacing need "
                f"{needed / GIB:.1f} GiB; the limit is {memory_limit() / GIB:.1f} GiB",
                hint="crop the scan to the head",
            )


def _nothing() -> None:
    """What a network without memory of its own gives back."""


class _Shared:
    """Calls `way` and describes itself as `network` does, for the run record."""

    def __init__(self, network: Network, way: Callable[..., Sequence[NDArray[np.float32]]]) -> None:
        self._way = way
        self.engine, self.precision = network.engine, network.precision
        self.device, self.threads = network.device, network.threads
        self.reason = getattr(network, "reason", "")

    def __call__(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        return tuple(self._way(*inputs))


def normalise(image: NDArray[np.float32], low: float, high: float) -> tuple[float, float]:
    """Clip to the percentiles `low` and `high` (percent) and scale to 0..1, in place; returns what became 0 and 1."""
    bottom, top = (float(value) for value in np.percentile(image, [low, high]))
    extent = max(top - bottom, 1e-6 * max(abs(top), abs(bottom), 1e-30))
    image -= np.float32(bottom)
    image /= np.float32(extent)
    np.clip(image, 0.0, 1.0, out=image)
    return bottom, bottom + extent


def _in_air(image: NDArray[np.float32], window: tuple[int, int, int]) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """An image below the window is put in the middle of air, which is what a network has seen beyond a scan's edge.

    Returns the larger image and where the given one lies in it.
    """
    missing = [max(0, wide - own) for own, wide in zip(image.shape, window, strict=True)]
    inside = tuple(slice(n // 2, n // 2 + own) for n, own in zip(missing, image.shape, strict=True))
    if not any(missing):
        return image, inside
    return np.pad(image, [(n // 2, n - n // 2) for n in missing]), inside


def _finite(array: NDArray[Any]) -> NDArray[np.float32]:
    """float32 without NaN or infinities: they become the smallest finite value, which is air."""
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite and is dealt with below
        values = np.asarray(array, np.float32)
    if array.dtype.kind != "f":
        return values
    good = np.isfinite(values)
    if good.all():
        return values
    return np.where(good, values, values[good].min()).astype(np.float32, copy=False)


def _three(values: Any, kind: Any) -> Any:
    found = tuple(kind(value) for value in values)
    if len(found) != 3 or min(found) <= 0:
        raise ValueError(f"three positive numbers instead of {values}")
    return found
