"""A volume model: the preprocessing that its card asks for, and class scores on its own grid.

The model is loaded once and used for many scans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from vitapps.pipelines.medical.place import find_region, mirrored, place_channels
from vitapps.pipelines.medical.resample import Matrix, downsample_matrix, output_size, resample, upsample_matrix
from vitapps.pipelines.medical.structures import label_infos, mirror_order
from vitapps.pipelines.medical.tissues import tissue_numbers
from vitapps.progress import Progress, null_progress

TASK = "medical.segment"
DEFAULT_CARD = "brain-mr-synth"
FIRST_OVERLAP = 0.25  # of the windows that only find the foreground

Floats = NDArray[np.float32]


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
        """B 1 D H W in 0..1, or B 4 D H W with the place -> (B K D H W logits,)."""
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
    """Card and compiled network. `scores(prepared)` gives K D H W class shares that sum to 1."""

    def __init__(self, card: Any, network: Network, *, once: bool = False) -> None:
        self.card, self._once = card, once
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
        return VolumeModel(self.card, _Shared(self.network, network))

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

    def scores(
        self, prepared: Prepared, *, tta: bool = False, progress: Progress = null_progress
    ) -> NDArray[np.float32]:
        """Class shares K D H W; with `tta` the mean of the scan and its left-right mirror image."""
        image, inside = _in_air(prepared.image, self.preprocess.window)
        if not self.preprocess.place:
            found = self._stitch(image[None], tta, progress)  # D H W -> 1 D H W -> K D H W
        else:
            found = self._placed_scores(image, tta, progress)
        return np.ascontiguousarray(found[(slice(None), *inside)])

    def _placed_scores(self, image: Floats, tta: bool, progress: Progress) -> Floats:
        """Two passes: find the foreground, then give its box to the network with the place of every voxel."""
        preprocess = self.preprocess
        unknown = np.zeros((3, *image.shape), np.float32)
        first = self._stitch(
            np.concatenate([image[None], unknown]), False, progress, overlap=FIRST_OVERLAP, foreground=True
        )[0]
        shares = np.zeros((len(self.infos), *image.shape), np.float32)
        shares[0] = 1.0
        region = find_region(first, preprocess.spacing, preprocess.window)
        if region is not None:
            place = place_channels(region, preprocess.spacing)  # 3 d h w
            box = (slice(None), *region.box)
            found = self._stitch(np.concatenate([image[None][box], place]), tta, progress)
            if self._once:
                getattr(self.network, "release", _nothing)()  # before as much again is needed for the whole
            shares[box] = found
        return shares

    def _stitch(
        self, x: Floats, tta: bool, progress: Progress, *, overlap: float | None = None, foreground: bool = False
    ) -> Floats:
        """Blended class shares of C D H W, K D H W; with `foreground` that of all classes but the first, 1 D H W."""
        from vitapps.pipelines.windows import tile_apply

        axis = next(i for i, code in enumerate(self.preprocess.orientation) if code in "LR")

        def window_shares(part: Floats) -> Floats:
            shares = softmax(self._answers(part))  # B C D H W -> B K D H W
            if tta:
                half = 0.5 * shares  # a new array: the next call may overwrite the answers
                back = np.flip(softmax(self._answers(mirrored(part, axis))), axis + 2)
                shares = half + 0.5 * back[:, self._mirror]
            return 1.0 - shares[:, :1] if foreground else shares

        stitched: Floats = tile_apply(
            x, window_shares, window=self.preprocess.window,
            overlap=self.preprocess.overlap if overlap is None else overlap, blend="gaussian", progress=progress,
        )  # fmt: skip
        return stitched

    def _answers(self, part: Floats) -> Floats:
        """Logits B K D H W of one window, which the next call may overwrite: a copy would be 80 MB."""
        lend = getattr(self.network, "lend", None) if len(part) == 1 else None
        return (lend or self.network)(part)[0]

    def _check_memory(self, volume: Volume, size: list[int]) -> None:
        needed = 2 * 4 * len(self.infos) * int(np.prod(size, dtype=object))  # scores and their accumulator
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


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares along axis 1 of B K D H W, computed without overflow and in place: 33 classes of a window are 80 MB."""
    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return logits


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
