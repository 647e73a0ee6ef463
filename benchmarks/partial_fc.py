"""Partial FC beside the full softmax: seconds and peak memory of a step at several sample rates.

python benchmarks/partial_fc.py --classes 200000 --dim 512 --batch 64
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence

RATES = (1.0, 0.3, 0.1)


def measure(rate: float, classes: int, dim: int, batch: int, steps: int) -> tuple[float, float]:
    """Seconds a step and GB above what the centres and their momentum take, in a process of its own."""
    import torch

    from vitapps.shared_backbones.heads.partial_fc import LazySGD, PartialFC

    torch.set_num_threads(1)
    head = PartialFC(classes, dim, rate=rate)
    optimizer = LazySGD([head.centres], 0.1)
    optimizer.state[head.centres]["momentum"] = torch.zeros_like(head.centres) + 0.0
    before = _peak()
    times = []
    for _ in range(steps):
        embeddings, labels = torch.randn(batch, dim, requires_grad=True), torch.randint(classes, (batch,))
        start = time.perf_counter()
        optimizer.zero_grad()
        head(embeddings, labels).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], (_peak() - before) / 1e9


def main(words: Sequence[str] | None = None) -> None:
    """Print a table on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("classes", 200_000), ("dim", 512), ("batch", 64), ("steps", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args(words)
    sizes = (chosen.classes, chosen.dim, chosen.batch, chosen.steps)
    rows = []
    for rate in RATES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append((rate, *pool.apply(measure, (rate, *sizes))))
    sys.stdout.write(f"{'rate':>6} {'s a step':>9} {'of full':>8} {'GB above centres':>17} {'of full':>8}\n")
    for rate, seconds, memory in rows:
        share, part = seconds / rows[0][1], memory / max(rows[0][2], 1e-9)
        sys.stdout.write(f"{rate:>6.2f} {seconds:>9.3f} {share:>8.2f} {memory:>17.3f} {part:>8.2f}\n")


def _peak() -> float:
    """Bytes of resident memory at its highest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
