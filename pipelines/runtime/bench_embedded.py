"""What token reduction gives and takes in an embedded model: CPU time of its network beside the dense one, through the
same engine, and its own metric with both."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from vitapps.options import NO_REDUCTION, RunOptions
from vitapps.pipelines.runtime.measure import cache_at, interleaved
from vitapps.pipelines.runtime.own_metric import Judge
from vitapps.progress import Progress, null_progress
from vitapps.shared_backbones.engines.check_input import read_check
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.weights.cards import load_card

SPECS = ("tome:keep=0.9", "tome:keep=0.7", "vomix:keep=0.9")


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedRow:
    """`ratio` of CPU time, dense over reduced: median over the rounds, `lowest` and `highest` of them; `metric` names
    the model's own metric, `dense` and `reduced` are its values."""

    model: str
    spec: str
    engine: str
    dense_ms: float
    reduced_ms: float
    ratio: float
    lowest: float
    highest: float
    metric: str
    dense: float
    reduced: float


def bench_embedded(
    judge: Judge, specs: Sequence[str] = SPECS, *, rounds: int = 5, options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[EmbeddedRow]:  # fmt: skip
    """One row for every reduction, computed by OpenVINO in float32 unless `options` name another engine."""
    card = load_card(judge.weights)
    image = read_check(card)[0][:1]
    options = replace(options or RunOptions(), precision="exact")
    options = replace(options, engine="openvino") if options.engine == "auto" else options
    ways = {spec: replace(options, reduce=spec) for spec in (NO_REDUCTION, *specs)}
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        cache_at(Path(folder)),
        progress.task(card.name, total=2 * len(ways)) as task,
    ):
        models = {}
        for spec, own in ways.items():
            models[spec] = load_model(card, own)
            task.advance()
        seconds = interleaved({spec: partial(model, image) for spec, model in models.items()}, rounds)
        values = {}
        for spec, own in ways.items():
            values[spec] = judge.score(own)
            task.advance()
    dense = seconds[NO_REDUCTION]
    for spec in specs:
        ratios = [one / other for one, other in zip(dense, seconds[spec], strict=True)]
        rows.append(EmbeddedRow(
            model=card.name, spec=spec, engine=f"{options.engine} fp32", dense_ms=1e3 * median(dense),
            reduced_ms=1e3 * median(seconds[spec]), ratio=median(ratios), lowest=min(ratios), highest=max(ratios),
            metric=values[spec].name, dense=values[NO_REDUCTION].value, reduced=values[spec].value,
        ))  # fmt: skip
    return rows
