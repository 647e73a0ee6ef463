"""Our window stitcher beside MONAI's SlidingWindowInferer: the same callable, volume, windows and Gaussian weights.

    python benchmarks/windows.py [--size 192 --window 64 --repeats 3] [--out benchmarks/results/windows_DATE.txt]

Both end in a map of class numbers. CPU seconds are those of the sliding itself, without imports; memory is the peak of
the process above what it held before (`net`) and in all. Bars: not slower, and at 100 classes a quarter of the memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from argparse import Namespace
from typing import Any

from measure import arguments, in_turns, report, verdict

CLASSES = (14, 100)
OVERLAP = 0.25


def child(options: Namespace) -> None:
    """Slide once and print CPU seconds, bytes before, and a checksum of the answer."""
    import numpy as np

    shape = (options.size,) * 3
    x = np.random.default_rng(0).random((1, *shape), np.float32)
    slopes = np.linspace(-1, 1, options.classes, dtype=np.float32)[:, None, None, None]

    def scores(stack: Any) -> Any:
        return slopes * stack - slopes * slopes  # B 1 D H W -> B K D H W

    window = (options.window,) * 3
    if options.child == "ours":
        from vitapps.pipelines.windows import tile_apply

        def slide() -> Any:
            return tile_apply(x, scores, window=window, overlap=OVERLAP, blend="gaussian", out="argmax")
    else:
        import torch
        from monai.inferers import SlidingWindowInferer

        inferer = SlidingWindowInferer(window, 1, overlap=OVERLAP, mode="gaussian")

        def slide() -> Any:
            with torch.inference_mode():
                found = inferer(torch.from_numpy(x[None]), lambda stack: torch.from_numpy(scores(stack.numpy())))
                return found.argmax(1)[0].numpy()

    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.process_time()
    answer = slide()
    spent = time.process_time() - start
    print(json.dumps({"cpu": spent, "before": before, "sum": int(answer.sum(dtype=np.int64))}))  # noqa: T201


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--classes", type=int, default=0, help="only this number")
    parser.add_argument("--child", choices=("ours", "monai"), help="used by the benchmark itself")
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    rows, notes = [], []
    for classes in (options.classes,) if options.classes else CLASSES:
        words = ["--size", str(options.size), "--window", str(options.window), "--classes", str(classes)]
        programs = {name: [sys.executable, __file__, "--child", name, *words] for name in ("ours", "monai")}
        found = in_turns(programs, options.repeats)
        cpu, net, whole = {}, {}, {}
        for name, usages in found.items():
            said = [json.loads(usage.out.splitlines()[-1]) for usage in usages]
            cpu[name] = min(item["cpu"] for item in said)
            net[name] = min(usage.rss - item["before"] for usage, item in zip(usages, said, strict=True))
            whole[name] = min(usage.rss for usage in usages)
            rows.append((str(classes), name, f"{cpu[name]:.2f}", f"{net[name] / 1e6:.0f}", f"{whole[name] / 1e6:.0f}"))
        ratios = [ours["ours"] / ours["monai"] for ours in (cpu, net, whole)]
        rows.append((str(classes), "ratio", *(f"{ratio:.3f}" for ratio in ratios)))
        notes.append(verdict(f"{classes} classes, CPU time of ours over MONAI's", ratios[0], 1.0))
        if classes >= 100:
            notes.append(verdict(f"{classes} classes, peak memory of ours over MONAI's", ratios[2], 0.25))
    title = f"sliding windows of {options.window}^3, overlap {OVERLAP}, over {options.size}^3"
    report(title, ("classes", "", "CPU s", "net MB", "peak MB"), rows, notes, options.out)


if __name__ == "__main__":
    main()
