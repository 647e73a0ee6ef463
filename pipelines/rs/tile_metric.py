"""Pooled F1 of a crown detector on annotated tiles, as `vitapps bench reduce` and `models quantize` ask for it."""

from __future__ import annotations

from pathlib import Path

from vitapps.options import RunOptions
from vitapps.pipelines.rs.evaluate import evaluate
from vitapps.pipelines.runtime.own_metric import Judge, Metric


def tile_judge(weights: str, data: Path) -> Judge:
    """For a card of task rs.detect; `data` as `vitapps rs eval` reads it."""

    def score(options: RunOptions) -> Metric:
        pooled = evaluate(data, weights=weights, options=options)[-1]
        return Metric(name=f"pooled F1 at IoU 0.4, {pooled.drawn} crowns of {pooled.tiles} tiles", value=pooled.f1)

    return Judge(weights=weights, score=score)
