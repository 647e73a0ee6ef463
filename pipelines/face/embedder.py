"""Face templates: descriptors of an aligned face, projected to what tells people apart; numpy alone computes.

    descriptors x_k (`descriptors.py`)    t = sum_k (x_k - mean_k) M_k, brought to length 1

M_k are principal axes of the descriptor followed by Fisher's axes of all of them (Belhumeur et al. 1997, IEEE TPAMI
19(7)), which `train_verifier.py` makes one matrix. The template of a face is that of the crop plus that of its mirror
image, brought to length 1; two templates are compared by their dot product (-1..1). The card says how a similarity
becomes a probability and which similarity belongs to which rate of false matches, both measured on people that the fit
did not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError, UsageError
from vitapps.pipelines.face.array_card import read_arrays
from vitapps.pipelines.face.descriptors import describe
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.runtime.network_facts import NetworkFacts

DEFAULT_WEIGHTS = "face-embed"
Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """At `threshold` a share `fmr` of pairs of different people is taken for the same, and a share `fnmr` of pairs of
    one person is not; measured on `pairs`."""

    fmr: float
    fnmr: float
    threshold: float
    pairs: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedder:
    """`axes` by descriptor: mean D and matrix D dim. `slope`, `offset`: the log odds of one person at a similarity s
    are slope s + offset, where both answers are equally likely before; nan, and no `points`, where nobody measured
    them. `crop_size` of the aligned crops that it wants."""

    axes: Mapping[str, tuple[Rows, Rows]]
    slope: float
    offset: float
    points: tuple[OperatingPoint, ...]
    facts: NetworkFacts
    crop_size: int = 112

    @classmethod
    def load(cls, weights: str | None = None, threads: int | None = None) -> Embedder:
        """The projections of a card (name or path), or a published recogniser (`published_embedder.py`); MissingError
        for what is neither."""
        if weights is not None and is_published(weights):
            from vitapps.pipelines.face.published_embedder import load_published_embedder

            return load_published_embedder(weights, threads)
        card, arrays, facts = read_arrays(weights or DEFAULT_WEIGHTS, "face.verify")
        return cls.of(arrays, card.preprocess, facts)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any], facts: NetworkFacts) -> Embedder:
        """From the tensors of a file and the `preprocess` part of its card."""
        pairs = {
            name: (arrays[f"{name}.mean"].astype(np.float32), arrays[f"{name}.matrix"].astype(np.float32))
            for name in sorted({key.split(".")[0] for key in arrays})
        }
        try:
            points = tuple(OperatingPoint(**point) for point in words["operating_points"])
            slope, offset = float(words["slope"]), float(words["offset"])
        except (KeyError, TypeError, ValueError) as error:
            raise MissingError(
                f"weights '{facts.name}': the card is not usable ({error})", hint="vitapps doctor"
            ) from None
        return cls(axes=pairs, slope=slope, offset=offset, points=points, facts=facts)

    @property
    def dim(self) -> int:
        """Length of a template."""
        return int(next(iter(self.axes.values()))[1].shape[1])

    @property
    def contract(self) -> str:
        """What two templates must share to be comparable."""
        return f"{self.facts.name} {self.facts.sha256}"

    def embed(self, crops: Sequence[Pixels]) -> Rows:
        """Templates n dim of aligned crops 112 112 3."""
        if not crops:
            return np.zeros((0, self.dim), np.float32)
        both = [self.project(described([crop, crop[:, ::-1]])) for crop in crops]  # each 2 dim
        return unit(np.stack(both).sum(axis=1))

    def project(self, rows: Mapping[str, Rows]) -> Rows:
        """Descriptors by name, n D each -> n dim, of length 1."""
        parts = [(rows[name] - mean) @ matrix for name, (mean, matrix) in self.axes.items()]
        return unit(np.sum(parts, axis=0))

    def probability(self, similarity: float) -> float | None:
        """That both faces are one person's, if both answers were equally likely before; 0..1, None where nobody
        measured it."""
        if not math.isfinite(self.slope):
            return None
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, self.slope * similarity + self.offset))))

    def point(self, fmr: float) -> OperatingPoint | None:
        """The operating point of a rate of false matches, None where nobody measured any; UsageError where others
        were."""
        for point in self.points:
            if math.isclose(point.fmr, fmr, rel_tol=0.02):
                return point
        if not self.points:
            return None
        known = ", ".join(f"{point.fmr:g}" for point in self.points)
        raise UsageError(f"--fmr {fmr:g}: not measured for '{self.facts.name}'", hint=f"one of {known}")


def is_published(weights: str) -> bool:
    """Whether `weights` is no card but a published recogniser."""
    path = Path(weights)
    if weights.startswith(("timm:", "hf:")) or path.suffix in (".onnx", ".pt", ".pth"):
        return True
    return path.suffix == ".safetensors" and path.is_file() and not path.with_suffix(".toml").is_file()


def described(crops: Sequence[Pixels]) -> dict[str, Rows]:
    """Descriptors of crops by name, n D each."""
    found = [describe(np.ascontiguousarray(crop)) for crop in crops]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def unit(rows: Rows) -> Rows:
    """Rows n d at length 1."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9), np.float32)
