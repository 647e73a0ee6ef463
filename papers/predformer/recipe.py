"""Moving digits: the evaluation of `vitapps video eval predict`."""

from __future__ import annotations

from vitapps.papers.recipes import Wish
from vitapps.pipelines.video.evaluate_predict import evaluate


def measure(wish: Wish) -> dict[str, float]:
    """MSE (summed over the pixels of a frame) and SSIM of the embedded model (quick: 20 sequences, else 200)."""
    assert wish.data is not None
    rows = evaluate(wish.data, sequences=20 if wish.quick else 200, options=wish.options, progress=wish.progress)
    ours, last = rows[0].score, next(row.score for row in rows if row.method == "copy last frame")
    return {"MSE a frame": ours.mse, "MSE over that of the last frame again": ours.mse / last.mse, "SSIM": ours.ssim}
