"""`--engine auto` on a CPU: the fastest engine whose answer stays within the card's tolerance, measured once a machine.

Each candidate computes the card's own check input. The decision is remembered under everything that it depends on:
weights, tolerance, engine versions, processor, threads and the precision that was asked for.

Measuring takes seconds, so nobody waits for it at a first start: a network that has not been measured runs by the
preferred candidate, and is measured once a process has computed long enough with it to make up for that.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import logging
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import MissingError, UsageError, VitappsError
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines.cache import entry_key, open_cache
from vitapps.shared_backbones.engines.check_input import (
    allowed_error,
    made_up_input,
    read_check,
    relative_error,
    sampled,
)
from vitapps.shared_backbones.engines.graph import compile_card_graph, input_shape
from vitapps.shared_backbones.engines.machine import bf16_is_fast, cpu_flags
from vitapps.shared_backbones.engines.model import Arrays, Run
from vitapps.shared_backbones.weights.cards import Card

log = logging.getLogger("vitapps.engines.choose")
CACHE, CACHE_LIMIT = "decisions", 4 << 20
ONLY = "the only candidate here"
ENGINES = {"openvino": ("exact", "bf16", "int8"), "onnxruntime": ("exact", "int8")}  # preferred first where equal
_ROUNDS, _SECONDS = 5, 1.5  # calls measured of each candidate, fewer when they take longer
# a candidate further down the list must gain more than what two runs of one engine differ, and something one can feel
_MARGIN, _GAIN_MS = 0.95, 1.0
_EARNED = 30.0  # CPU seconds that a process computes with a network before it has it measured
_PATIENCE = 120.0  # seconds for that


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a candidate showed: `milliseconds` CPU time of its quickest call, relative `error`, `limit` the error
    allowed (None: the card grants none), `fault` why it could not run."""

    engine: str
    precision: str
    milliseconds: float = 0.0
    error: float = 0.0
    limit: float | None = None
    fault: str = ""

    def __str__(self) -> str:
        if self.fault:
            return f"{self.engine} {self.precision} does not run: {self.fault}"
        bound = "" if self.limit is None else f" of {self.limit:.0e}"
        return f"{self.engine} {self.precision} {self.milliseconds:.1f} ms CPU, error {self.error:.1e}{bound}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Engine and precision chosen for a card, why, and what was measured (nothing where there was no choice)."""

    card: str
    sha256: str
    asked: str
    threads: int
    engine: str
    precision: str
    reason: str
    trials: tuple[str, ...] = ()


def decide(card: Card, options: RunOptions, threads: int, *, measure: bool = True) -> Decision:
    """The engine for a CPU run of `card`. Raises MissingError when no candidate is there or can compute it.

    Without `measure`, what no earlier run has measured is the preferred candidate, and `trials` is empty.
    """
    pairs = _candidates(card, options)
    made: Callable[..., Decision] = partial(
        Decision, card=card.name, sha256=card.sha256, asked=options.precision, threads=threads
    )
    if len(pairs) == 1:
        engine, precision = pairs[0]
        return made(engine=engine, precision=precision, reason=ONLY)
    cache = open_cache(CACHE, CACHE_LIMIT)
    key = _key(card, options, threads)
    for remembered in _parsed(None if cache is None else cache.get(key)):
        return remembered
    if cache is None or not measure:
        engine, precision = next(pair for pair in pairs if pair[1] in ("exact", options.precision))
        why = "not measured yet" if cache is not None else "not measured: the cache folder is not writable"
        return made(engine=engine, precision=precision, reason=why)
    best, trials = _measured(card, pairs, threads, free=options.precision == "auto")
    rest = "; ".join(str(trial) for trial in trials if trial is not best)
    chosen = made(
        engine=best.engine, precision=best.precision, reason=f"fastest within tolerance: {best}; {rest}",
        trials=tuple(map(str, trials)),
    )  # fmt: skip
    cache.put(key, json.dumps(dataclasses.asdict(chosen)).encode())
    return chosen


def measured_later(run: Run, decision: Decision, card: Card, options: RunOptions) -> Run:
    """`run`, which also has the candidates measured once it has computed for `_EARNED` seconds, for the runs to come;
    only where `decision` was made without measuring."""
    if decision.trials or decision.reason == ONLY:
        return run
    spent, lock = [0.0], Lock()

    def timed(*inputs: NDArray[np.float32]) -> Arrays:
        began = time.process_time()
        found = run(*inputs)
        with lock:
            before, spent[0] = spent[0], spent[0] + time.process_time() - began
            earned = before < _EARNED <= spent[0]
        if earned:
            _decide_apart(card, options, decision.threads)
        return found

    return timed


def _decide_apart(card: Card, options: RunOptions, threads: int) -> None:
    """`decide` in a process of its own, whose memory goes with it; what fails there is tried again by a later run."""
    code = "import pickle, sys; from vitapps.shared_backbones.engines import choose; "
    code += "choose.decide(*pickle.load(sys.stdin.buffer))"
    command, asked = [sys.executable, "-P", "-c", code], pickle.dumps((card, options, threads))
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, input=asked, capture_output=True, check=False, timeout=_PATIENCE)
        log.info("%s: engines measured, exit code %d", card.name, done.returncode)


def remembered_decisions() -> list[Decision]:
    """Every decision in the cache of this machine, the one used last first."""
    cache = open_cache(CACHE, CACHE_LIMIT)
    if cache is None:
        return []
    return [found for content in cache.contents() for found in _parsed(content)]


def _candidates(card: Card, options: RunOptions) -> list[tuple[str, str]]:
    """Engines and precisions to try, the ones preferred at equal speed first. Raises MissingError for none."""
    found = []
    for engine, precisions in ENGINES.items():
        if not _installed(engine):
            continue
        found += [(engine, precision) for precision in precisions if _is_wanted(card, options, precision)]
    if not found:
        raise MissingError(
            f"{card.name}: no engine here computes it with --precision {options.precision}",
            hint="`vitapps doctor` lists the engines; the card may have no int8 graph",
        )
    return sorted(found, key=lambda pair: ("exact", "bf16", "int8").index(pair[1]))


def _is_wanted(card: Card, options: RunOptions, precision: str) -> bool:
    if precision == "int8" and not card.int8_file:
        return False
    if options.precision != "auto":
        return options.precision == precision
    granted = allowed_error(card, precision) is not None
    return granted and (precision != "bf16" or bf16_is_fast())


def _installed(engine: str) -> bool:
    try:
        importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _key(card: Card, options: RunOptions, threads: int) -> str:
    versions = {engine: importlib.metadata.version(engine) for engine in ENGINES if _installed(engine)}
    return entry_key({
        "graph": card.graph_sha256, "int8": card.int8_sha256, "check": card.check, "tolerance": card.tolerance,
        "precision": options.precision, "threads": threads, "engines": versions, "cpu": cpu_flags(),
    })  # fmt: skip


def _parsed(content: bytes | None) -> list[Decision]:
    """The decision of an entry; none where there is no entry, or one of another release."""
    if content is None:
        return []
    try:
        table = json.loads(content)
        return [Decision(**{**table, "trials": tuple(table["trials"])})]
    except (ValueError, TypeError, KeyError):
        return []


def _measured(card: Card, pairs: Sequence[tuple[str, str]], threads: int, *, free: bool) -> tuple[Trial, list[Trial]]:
    """The best candidate, and all that were tried; `free`: the precision was left to us, so the tolerance binds."""
    image, wanted = _check(card, threads)
    trials = [_trial(card, engine, precision, threads, image, wanted) for engine, precision in pairs]
    best = None
    for trial in trials:
        within = not free or (trial.limit is not None and trial.error <= trial.limit)
        if trial.fault or not within:
            continue
        if best is None or trial.milliseconds < min(_MARGIN * best.milliseconds, best.milliseconds - _GAIN_MS):
            best = trial
    if best is None:
        raise MissingError(
            f"{card.name}: no engine reproduces its check: {'; '.join(map(str, trials))}",
            hint="`vitapps doctor --full`",
        )
    return best, trials


def _check(card: Card, threads: int) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """The card's check, else noise and what the float32 graph makes of it."""
    if card.check:
        return read_check(card)
    engine = next(name for name in ENGINES if _installed(name))
    image = made_up_input(input_shape(card))
    model = compile_card_graph(card, engine=engine, precision="exact", threads=threads)
    return image, [sampled(output) for output in model(image)]


def _trial(
    card: Card, engine: str, precision: str, threads: int, image: NDArray[np.float32],
    wanted: Sequence[NDArray[np.float32]],
) -> Trial:  # fmt: skip
    try:
        model = compile_card_graph(card, engine=engine, precision=precision, threads=threads)
        found = [sampled(output) for output in model(image)]
    except UsageError:
        raise
    except (VitappsError, RuntimeError) as error:
        return Trial(engine=engine, precision=precision, fault=str(error).splitlines()[0])
    return Trial(
        engine=engine, precision=precision, milliseconds=1e3 * min(_cpu_seconds(model, image)),
        error=relative_error(found, wanted), limit=allowed_error(card, precision),
    )  # fmt: skip


def _cpu_seconds(model: Callable[..., object], image: NDArray[np.float32]) -> Iterator[float]:
    """CPU time of all threads, call by call: wall time would measure what else the machine happens to do."""
    began = time.perf_counter()
    for _ in range(_ROUNDS):
        start = time.process_time()
        model(image)
        yield time.process_time() - start
        if time.perf_counter() - began > _SECONDS:
            return
