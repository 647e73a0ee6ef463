"""Tracking a clip: latency of a frame, and how far decoding and tracking overlap.

    python benchmarks/tracking.py [--frames 150 --rounds 3 --tracker fused] [--out benchmarks/results/tracking-DATE.txt]

The clip (1280 x 720, H.264, a textured square over a textured ground) is drawn by this script. Each round decodes it
alone, tracks its frames from memory alone, and runs `vitapps video track` over it; the best round of each counts. Bar:
end to end at least 0.9 of the frames a second of the slowest stage alone, and 40 ms a frame.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from measure import arguments, report, verdict

BOX = (100.0, 200.0, 96.0, 96.0)


def draw(path: Path, frames: int) -> None:
    import cv2
    import numpy as np

    from vitapps.datasets.formats.video_write import open_writer

    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 255, (45, 80, 3)).astype(np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    thing = cv2.resize(rng.integers(0, 255, (8, 8, 3)).astype(np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
    with open_writer(path) as writer:
        for number in range(frames):
            picture = ground.copy()
            x, y = 100 + 5 * number % 1000, round(200 + 80 * np.sin(number / 12))
            picture[y : y + 96, x : x + 96] = thing
            writer.add(picture, number / 25)


def stages(clip: Path, options: Namespace) -> dict[str, list[Any]]:
    """Frames a second of each stage, a value a round, and the milliseconds of every tracked frame."""
    import numpy as np

    from vitapps.datasets.formats.video_read import open_clip
    from vitapps.options import RunOptions
    from vitapps.pipelines.video.followers import make_trackers
    from vitapps.pipelines.video.starts import Prompt
    from vitapps.pipelines.video.track import TrackSettings, track

    run = RunOptions(threads=options.threads, overwrite=True)
    maker, _ = make_trackers(options.tracker, options.weights, run)
    box = np.array([*BOX[:2], BOX[0] + BOX[2], BOX[1] + BOX[3]])
    found: dict[str, list[Any]] = {"decode": [], "track": [], "end to end": [], "ms": [], "cpu": []}
    for _ in range(options.rounds):
        start = time.perf_counter()
        with open_clip(clip, threads=options.threads) as source:
            frames = [frame.pixels for frame in source.frames()]
        found["decode"].append(len(frames) / (time.perf_counter() - start))
        tracker, start, spent = maker(frames[0], box), time.perf_counter(), time.process_time()
        for frame in frames[1:]:
            begin = time.perf_counter()
            tracker.update(frame)
            found["ms"].append(1000 * (time.perf_counter() - begin))
        found["track"].append((len(frames) - 1) / (time.perf_counter() - start))
        found["cpu"].append(1000 * (time.process_time() - spent) / (len(frames) - 1))
        settings = TrackSettings(boxes=(Prompt(where=BOX),), tracker=options.tracker)
        result = track(clip, clip.with_suffix(".csv"), settings, weights=options.weights, options=run)
        found["end to end"].append(result.frames / result.timings["track"])
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tracker", default="auto")
    parser.add_argument("--weights")
    options = parser.parse_args()
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        draw(clip, options.frames)
        found = stages(clip, options)
    best = {name: max(found[name]) for name in ("decode", "track", "end to end")}
    p50, p95 = (float(np.percentile(found["ms"], share)) for share in (50, 95))
    rows = [[name, f"{value:.1f}"] for name, value in best.items()]
    notes = [
        f"latency of tracking: p50 {p50:.1f} ms, p95 {p95:.1f} ms wall; {min(found['cpu']):.1f} ms CPU a frame",
        verdict("end to end / slowest stage", best["end to end"] / min(best["decode"], best["track"]), 0.9,
                at_least=True),
        verdict("CPU a frame", min(found["cpu"]), 40, " ms"),
    ]  # fmt: skip
    report("Tracking 1280 x 720", ["stage", "frames/s"], rows, notes, options.out)


if __name__ == "__main__":
    main()
