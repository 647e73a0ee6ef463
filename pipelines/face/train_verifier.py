"""`vitapps face train verifier`: the projections of the embedded templates, from pictures of named people.

Principal axes of each descriptor (whitened), then Fisher's axes of all together with a shrunk within-person scatter
(Friedman 1989), scaled by a power of their ratio of between to within scatter. How a similarity becomes a probability,
and which belongs to which rate of false matches, is measured in four folds over people: each person's pairs are scored
by axes that never saw that person.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from vitapps.errors import UsageError
from vitapps.pipelines.face.array_card import write_arrays
from vitapps.pipelines.face.embedder import DEFAULT_WEIGHTS, Embedder, Rows, described, unit
from vitapps.pipelines.face.landmark_cascade import LandmarkCascade
from vitapps.pipelines.face.logistic import fit_logistic
from vitapps.pipelines.face.people import Ints, People, training_people
from vitapps.pipelines.face.principal import principal_axes
from vitapps.pipelines.face.verification import RATES, error_rates
from vitapps.pipelines.runtime.hardware import training_hardware
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.progress import Progress, null_progress

FOLDS = 4
Axes = dict[str, tuple[Rows, Rows]]


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifierFit:
    """`principal` axes a descriptor, `dim` of a template, `shrink` 0..1 of the within scatter towards a sphere,
    `power` of the scatter ratio; `copies` of each face aligned as in use, besides the one with true landmarks."""

    principal: int = 300
    dim: int = 200
    shrink: float = 0.3
    power: float = 0.8
    copies: int = 1
    seed: int = 0


def train(
    data: Path, out: Path, *, config: VerifierFit | None = None, landmarks: str | None = None,
    progress: Progress = null_progress,
) -> Path:  # fmt: skip
    """Fit on the training people of `data` and write card and projections to `out`; returns the card's path. The
    cascade `landmarks` (a card, None: the embedded one) aligns the copies."""
    config = config or VerifierFit()
    clock = time.monotonic()
    cascade = LandmarkCascade.load(landmarks) if config.copies else None
    people = training_people(data, cascade, config.copies, config.seed)
    number = int(people.owners.max()) + 1
    if number <= config.dim:
        raise UsageError(f"{number} people for {config.dim} axes", hint="give more people, or a smaller --dim")
    rows, mirrored = _described(people, progress)
    axes = fit_axes(rows, mirrored, people.owners, config)
    same, similarity = _cross_scores(rows, mirrored, people.owners, config)
    weights, offset = fit_logistic(similarity[:, None], same, penalty=0.0)
    points = [
        {"fmr": rate, "fnmr": round(fnmr, 4), "threshold": round(threshold, 4), "pairs": "training people, four folds"}
        for rate, (threshold, fnmr) in zip(RATES, error_rates(similarity, same, RATES), strict=True)
    ]
    facts = {
        "data": f"{len(people.crops)} aligned crops of {number} people of LFW, and their mirror images: by YuNet's"
        f" landmarks, and {config.copies} more of each by landmarks as those of face-finder, brought closer",
        "command": f"vitapps face train verifier --data DIR --out DIR --seed {config.seed}",
        "hardware": training_hardware("cpu", 1),
        "minutes": round((time.monotonic() - clock) / 60, 1),
        "seed": config.seed,
        "split": "no person of LFW fold 8; probability and operating points from pairs of people whom the axes of"
        " their fold did not see",
    }
    words = {"slope": round(float(weights[0]), 4), "offset": round(offset, 4), "operating_points": points}
    return export(axes, words, facts, out)


def _described(people: People, progress: Progress) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """Descriptors of every crop and of its mirror image, by name."""
    plain, mirrored = [], []
    with progress.task("describing faces", total=len(people.crops)) as task:
        for crop in people.crops:
            plain.append(described([crop]))
            mirrored.append(described([crop[:, ::-1]]))
            task.advance()
    names = plain[0]
    return tuple({name: np.concatenate([each[name] for each in rows]) for name in names}  # type: ignore[return-value]
                 for rows in (plain, mirrored))  # fmt: skip


def fit_axes(rows: Mapping[str, Rows], mirrored: Mapping[str, Rows], owners: Ints, config: VerifierFit) -> Axes:
    """Mean D and matrix D dim of every descriptor."""
    labels = np.concatenate([owners, owners])
    principal: dict[str, tuple[Rows, Rows]] = {}
    for name in rows:
        every = np.concatenate([rows[name], mirrored[name]])
        mean = every.mean(axis=0)
        principal[name] = (mean, principal_axes(every - mean, config.principal, config.seed))
    joined = [
        (np.concatenate([rows[name], mirrored[name]]) - mean) @ matrix for name, (mean, matrix) in principal.items()
    ]
    fisher = _fisher(np.concatenate(joined, axis=1), labels, config)  # sum of principal axes, dim
    parts = np.split(fisher, np.cumsum([matrix.shape[1] for _, matrix in principal.values()])[:-1])
    return {
        name: (mean, (matrix @ part).astype(np.float32))
        for (name, (mean, matrix)), part in zip(principal.items(), parts, strict=True)
    }


def _fisher(rows: Rows, labels: Ints, config: VerifierFit) -> NDArray[np.float64]:
    """Fisher's axes K dim; those along which people differ most are the longest."""
    wide = rows.astype(np.float64)
    counts = np.bincount(labels)
    sums = np.zeros((len(counts), wide.shape[1]))
    np.add.at(sums, labels, wide)
    means = sums / np.maximum(counts, 1)[:, None]
    inner = wide - means[labels]
    within = inner.T @ inner / len(wide)
    within = (1 - config.shrink) * within + config.shrink * np.trace(within) / len(within) * np.eye(len(within))
    between = (means * counts[:, None]).T @ means / len(wide)
    dim = min(config.dim, len(within))
    ratio, axes = linalg.eigh(between, within, subset_by_index=[len(within) - dim, len(within) - 1])
    return np.asarray((axes * np.maximum(ratio, 1e-9) ** config.power)[:, ::-1])


def _cross_scores(
    rows: Mapping[str, Rows], mirrored: Mapping[str, Rows], owners: Ints, config: VerifierFit
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether a pair is of one person, and its similarity, for all pairs within every fold of people; of the crops of
    one picture the last counts, which is aligned as in use."""
    order = np.random.default_rng(config.seed).permutation(int(owners.max()) + 1)
    fold = np.argsort(order)[owners] % FOLDS
    counted = np.arange(len(owners)) % (1 + config.copies) == config.copies
    same, similarity = [], []
    for number in range(FOLDS):
        seen, kept = fold != number, (fold == number) & counted
        axes = fit_axes({k: v[seen] for k, v in rows.items()}, {k: v[seen] for k, v in mirrored.items()},
                        np.unique(owners[seen], return_inverse=True)[1].astype(np.int64), config)  # fmt: skip
        found = _templates(axes, {k: v[kept] for k, v in rows.items()}, {k: v[kept] for k, v in mirrored.items()})
        first, second = np.triu_indices(int(kept.sum()), 1)
        whose = owners[kept]
        same.append(whose[first] == whose[second])
        similarity.append(np.einsum("nd,nd->n", found[first], found[second]).astype(np.float64))
    return np.concatenate(same), np.concatenate(similarity)


def _templates(axes: Axes, rows: Mapping[str, Rows], mirrored: Mapping[str, Rows]) -> Rows:
    facts = NetworkFacts(name="fold", engine="numpy")
    embedder = Embedder(axes=axes, slope=1.0, offset=0.0, points=(), facts=facts)
    return unit(embedder.project(rows) + embedder.project(mirrored))


def export(axes: Axes, words: dict[str, Any], facts: dict[str, Any], out: Path) -> Path:
    """Write `face-embed.safetensors` (matrices as halves) and `face-embed.toml` to `out`."""
    # halves hold at most 65504: all matrices by one factor, which the length of 1 takes away again
    largest = max(float(np.abs(matrix).max()) for _, matrix in axes.values())
    arrays = {f"{name}.mean": mean.astype(np.float32) for name, (mean, _) in axes.items()}
    for name, (_, matrix) in axes.items():
        arrays[f"{name}.matrix"] = np.asarray(matrix * (8 / largest), np.float16)
    card = {
        "name": DEFAULT_WEIGHTS,
        "task": "face.verify",
        "arch": "projection",
        "config": {"descriptors": list(axes), "dim": int(next(iter(axes.values()))[1].shape[1])},
        "summary": "templates that tell people apart, from gradient and Gabor descriptors of aligned faces",
        "licence": "Apache-2.0 (weights); fitted on LFW news photographs, which are not shipped",
        "preprocess": words,
        "labels": [{"value": 0, "name": "template"}],
        "training": facts,
        "limits": [
            "small and weak: at one false match in a thousand most pairs of one person are missed;"
            " never a sole ground for a decision about a person",
            "not for surveillance, not for identifying people who did not agree to it",
            "fitted on news photographs of public figures, mostly men, mostly North American and European: expect"
            " more errors on everyone else, and on children",
            "profiles, masks, dark glasses, blur and faces below 40 pixels lower the similarity of one person",
            "failure in pictures (one man, less like himself than another man): docs/img/face_verify_failure.jpg",
        ],
        "status": "core",
    }
    return write_arrays(card, arrays, out)
