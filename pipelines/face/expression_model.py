"""Seven expressions of a framed face: descriptors on principal axes, then a kernel machine; numpy alone computes.

    x_d    principal axes of each descriptor, every axis brought to one length
    f_c    = sum_n a_nc exp(-g |x - s_n|^2) + b_c         kernel ridge regression on the faces s_n of the training
    p_c    = softmax of f / T                             T measured on faces that the fit did not see

A face and its mirror image are judged, and the mean of f counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError
from vitapps.pipelines.face.array_card import Arrays, read_arrays
from vitapps.pipelines.face.expression_features import describe_expression
from vitapps.pipelines.face.face_subspace import FaceSubspace
from vitapps.pipelines.face.faces import Pixels
from vitapps.pipelines.runtime.network_facts import NetworkFacts

DEFAULT_WEIGHTS = "face-expression"
LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
PARTS = {"hog": 720, "gabor": 2560, "lbp": 944}  # of a row of `describe_expression`
Rows = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelMachine:
    """`axes` by descriptor: mean D and matrix D k; `support` n K, `weights` n 7, `bias` 7; `gamma` of the kernel."""

    axes: Mapping[str, tuple[Rows, Rows]]
    support: Rows
    weights: Rows
    bias: Rows
    gamma: float

    def project(self, rows: Rows) -> Rows:
        """Descriptors n D on the axes, n K."""
        ends = np.cumsum(list(PARTS.values()))[:-1]
        parts = zip(np.split(rows, ends, axis=1), self.axes.values(), strict=True)
        return np.concatenate([(part - mean) @ matrix for part, (mean, matrix) in parts], axis=1)

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        """Of descriptors n D, n 7."""
        return np.asarray(kernel(self.project(rows), self.support, self.gamma) @ self.weights + self.bias, np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpressionModel:
    """What a card holds: the machine, its temperature, and the subspace of clean faces."""

    machine: KernelMachine
    temperature: float
    subspace: FaceSubspace
    facts: NetworkFacts

    @classmethod
    def load(cls, weights: str | None = None) -> ExpressionModel:
        """By card name or path; MissingError for another task's."""
        card, arrays, facts = read_arrays(weights or DEFAULT_WEIGHTS, "face.expression")
        return cls.of(arrays, card.preprocess, facts)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any], facts: NetworkFacts) -> ExpressionModel:
        """From the tensors of a file and the `preprocess` part of its card."""
        try:
            wide = {name: value.astype(np.float32) for name, value in arrays.items()}
            machine = KernelMachine(
                axes={part: (wide[f"{part}.mean"], wide[f"{part}.axes"]) for part in PARTS},
                support=wide["support"], weights=wide["weights"], bias=wide["bias"], gamma=float(words["gamma"]),
            )  # fmt: skip
            subspace = FaceSubspace(
                mean=wide["subspace.mean"], basis=wide["subspace.basis"], noise=float(words["noise"]),
                radius=wide["subspace.radius"],
            )  # fmt: skip
            return cls(machine=machine, temperature=float(words["temperature"]), subspace=subspace, facts=facts)
        except (KeyError, TypeError, ValueError) as error:
            raise MissingError(f"weights '{facts.name}': not usable ({error})", hint="train again") from None

    def probabilities(self, face: Pixels) -> NDArray[np.float64]:
        """Of the expressions of a framed face, 7, in the order of `LABELS`."""
        return likely(self.machine.scores(both_ways(face)).mean(axis=0), self.temperature)

    def restored(self, face: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
        """A framed face with its covered patches filled in, and which these were."""
        return self.subspace.restored(face)


def both_ways(face: Pixels) -> Rows:
    """Descriptors of a framed face and of its mirror image, 2 D."""
    return np.stack([describe_expression(face), describe_expression(np.ascontiguousarray(face[:, ::-1]))])


def kernel(rows: Rows, support: Rows, gamma: float) -> Rows:
    """exp(-gamma |x - s|^2) of rows m K and n K, m n."""
    away = (rows**2).sum(axis=1)[:, None] + (support**2).sum(axis=1) - 2 * rows @ support.T
    return np.asarray(np.exp(-gamma * np.maximum(away, 0)), np.float32)


def likely(scores: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Probabilities of scores ... 7."""
    raised = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def arrays_of(model: ExpressionModel) -> Arrays:
    """As a file holds them: large ones as halves."""
    machine, subspace = model.machine, model.subspace
    arrays: Arrays = {"support": machine.support.astype(np.float16), "weights": machine.weights.astype(np.float32)}
    for part, (mean, matrix) in machine.axes.items():
        arrays |= {f"{part}.mean": mean.astype(np.float32), f"{part}.axes": matrix.astype(np.float16)}
    return arrays | {
        "bias": machine.bias.astype(np.float32), "subspace.mean": subspace.mean,
        "subspace.basis": subspace.basis.astype(np.float16), "subspace.radius": subspace.radius,
    }  # fmt: skip
