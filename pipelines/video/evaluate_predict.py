"""`vitapps video eval predict`: moving digits that nothing was trained on, beside what needs no training."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.sets.digits import read_digits, split_digits
from vitapps.datasets.synth.moving_digits import MovingDigits
from vitapps.options import RunOptions
from vitapps.pipelines.video.predict_model import NAME, load_predict_model
from vitapps.pipelines.video.predict_scores import BASELINES, PredictScore, score_frames
from vitapps.progress import Progress, null_progress

Floats = NDArray[np.float32]
_FIRST = 10**15  # of the numbers of these sequences: no training gets there


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One method: its score over all sequences, and predicted frames a second."""

    method: str
    score: PredictScore
    fps: float

    def to_json(self) -> dict[str, Any]:
        """The table's numbers by name."""
        return {"method": self.method, **self.score.to_json(), "fps": round(self.fps, 1)}


def evaluate(
    data: Path, *, weights: str = NAME, held: int = 1000, sequences: int = 200, options: RunOptions | None = None,
    progress: Progress = null_progress,
) -> list[Row]:  # fmt: skip
    """Rows by method: the card, then the simple rules, on `sequences` of the last `held` digits of `data`."""
    _, sprites = split_digits(read_digits(data), held)
    model = load_predict_model(weights, options or RunOptions())
    seen = model.frames
    drawn = MovingDigits(sprites=sprites, frames=2 * seen, side=model.size[0]).batch(_FIRST, sequences)[:, :, 0]
    methods: dict[str, Callable[[Floats, int], Floats]] = {model.facts.name: model.go_on, **BASELINES}
    rows = []
    with progress.task("scoring", total=len(methods) * sequences) as task:
        for name, predict in methods.items():
            found, clock = [], time.perf_counter()
            for clip in drawn:
                found.append(predict(clip[:seen], seen))
                task.advance()
            seconds = time.perf_counter() - clock
            score = score_frames(np.stack(found), drawn[:, seen:])
            rows.append(Row(method=name, score=score, fps=sequences * seen / seconds))
    return rows
