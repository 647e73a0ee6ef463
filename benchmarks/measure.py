"""Child processes measured by the kernel (CPU seconds of all their threads, peak resident memory), and tables of them.

Every benchmark prints ratios of two children that ran in turns on the same machine: a loaded machine slows both. Wall
seconds are shown where a bar is set in them; they mean something only on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """`cpu` and `wall` in seconds, `rss` peak resident bytes, `out` what the child printed."""

    cpu: float
    wall: float
    rss: int
    out: str


def run(words: Sequence[str], *, environment: dict[str, str] | None = None) -> Usage:
    """Run a program and wait for it; raises SystemExit with its words when it fails."""
    start = time.perf_counter()
    child = subprocess.Popen(
        list(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert child.stdout is not None
    out = child.stdout.read()
    _, status, spent = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {child.returncode}\n{out}")
    cpu = spent.ru_utime + spent.ru_stime
    return Usage(cpu=cpu, wall=time.perf_counter() - start, rss=spent.ru_maxrss * 1024, out=out)


def in_turns(programs: dict[str, Sequence[str]], repeats: int) -> dict[str, list[Usage]]:
    """Every program `repeats` times, in turns, so that a change of the machine's load meets all of them."""
    found: dict[str, list[Usage]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, words in programs.items():
            found[name].append(run(words))
    return found


def python(code: str, *words: object) -> list[str]:
    """A program for this interpreter; `words` are its `sys.argv[1:]`."""
    return [sys.executable, "-P", "-c", code, *map(str, words)]


def vitapps(*words: object) -> list[str]:
    """The command line of this interpreter's vitapps."""
    return python("import sys; from vitapps.apps.main import main; sys.exit(main())", *words)


def machine() -> str:
    """Processor, usable cores, memory, system, and the load of the last minute."""
    listing = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip() for line in listing.read_text().splitlines() if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"{names[0] if names else platform.machine()}, {cores} cores, {memory:.0f} GiB, {platform.platform()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def arguments(docstring: str | None) -> argparse.ArgumentParser:
    """A parser with `--out`."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the table here: benchmarks/results/NAME_DATE.txt")
    return parser


def report(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str], out: Path | None
) -> None:
    """Print a table with the machine and the time, and write it to `out` if asked for."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = [
        title, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}", f"command: {' '.join(sys.argv)}", "",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table),
        "", *notes,
    ]  # fmt: skip
    print("\n".join(lines))  # noqa: T201
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def verdict(name: str, value: float, bar: float, unit: str = "", *, at_least: bool = False) -> str:
    """One line: the bar, what was measured, and whether it holds."""
    holds = value >= bar if at_least else value <= bar
    sign = ">=" if at_least else "<="
    return f"{'holds  ' if holds else 'MISSED '} {name}: {value:.3g}{unit} (bar {sign} {bar:g}{unit})"
