"""Which engine computes a card: asked for, or the fastest that stays within the card's tolerance."""

from __future__ import annotations

from collections.abc import Callable

from vitapps.errors import MissingError, UsageError
from vitapps.options import NO_REDUCTION, RunOptions
from vitapps.shared_backbones.engines.machine import bf16_is_fast, has_cuda, usable_cores
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card

GRAPH_ENGINES = ("openvino", "onnxruntime")
Loader = Callable[[Card, RunOptions], CompiledModel]
_elsewhere: list[Loader] = []


def load_elsewhere(loader: Loader | None) -> None:
    """From now on `load_model` asks `loader`: in a process whose networks are another's, who owns them for several, or
    who looks at what they are given. None: as before."""
    _elsewhere[:] = [] if loader is None else [loader]


def load_model(card: Card, options: RunOptions, *, together: int = 1) -> CompiledModel:
    """Compile the network of a card. An engine that is asked for and not there is an error, never replaced. `together`
    calls may then run at once, each with its share of the threads, where the engine can and there are as many threads.

    Raises MissingError for absent or damaged files, packages or GPUs, UsageError for combinations without sense.
    """
    return _elsewhere[0](card, options) if _elsewhere else load_here(card, options, together=together)


def load_here(card: Card, options: RunOptions, *, together: int = 1) -> CompiledModel:
    """As `load_model`, in this process in any case."""
    device = _device(options)
    threads = options.threads or usable_cores()
    together = min(together, threads)
    engine = "torch" if options.engine == "auto" and device != "cpu" else options.engine
    if options.reduce != NO_REDUCTION:
        card = _reduced(card, options, graph=engine in ("auto", *GRAPH_ENGINES))
    if engine == "auto":
        return _by_decision(card, options, threads, together)
    precision = _precision(card, options, engine, device)
    if engine not in GRAPH_ENGINES:
        from vitapps.shared_backbones.engines.torch import compile_card

        model = compile_card(card, device=device, precision=precision, threads=threads, engine=engine)
        model.reason = "asked for" if options.engine != "auto" else "a CUDA device is used by torch"
        return model
    if device != "cpu":
        raise UsageError(f"--engine {engine} runs on the CPU only, not on {device}", hint="--engine torch")
    from vitapps.shared_backbones.engines.graph import compile_card_graph

    _require_graph(card)
    return compile_card_graph(card, engine=engine, precision=precision, threads=threads, together=together)


def _reduced(card: Card, options: RunOptions, *, graph: bool) -> Card:
    from vitapps.shared_backbones.engines.reduced import reduced_card

    if graph:
        _require_graph(card)
    return reduced_card(card, options.reduce, graph=graph)


def _by_decision(card: Card, options: RunOptions, threads: int, together: int) -> CompiledModel:
    from vitapps.shared_backbones.engines.choose import decide, measured_later
    from vitapps.shared_backbones.engines.graph import compile_card_graph

    _require_graph(card)
    chosen = decide(card, options, threads, measure=False)
    model = compile_card_graph(
        card, engine=chosen.engine, precision=chosen.precision, threads=threads, together=together
    )  # fmt: skip
    model.run = measured_later(model.run, chosen, card, options)
    model.lend = None if model.lend is None else measured_later(model.lend, chosen, card, options)
    model.reason = chosen.reason
    return model


def _require_graph(card: Card) -> None:
    if not card.graph_file:
        raise MissingError(f"{card.name}: its card names no graph", hint="--engine torch")


def _device(options: RunOptions) -> str:
    if options.device != "auto":
        return options.device
    if options.engine in (*GRAPH_ENGINES, "torch-packed"):
        return "cpu"
    return "cuda:0" if has_cuda() else "cpu"


def _precision(card: Card, options: RunOptions, engine: str, device: str) -> str:
    """`auto` is bf16 only where the card, the engine and the processor allow it; otherwise exact float32."""
    if options.precision == "int8" and engine in GRAPH_ENGINES and not card.int8_file:
        raise MissingError(f"{card.name}: has no int8 graph", hint="--precision exact or bf16")
    if options.precision != "auto":
        return options.precision
    if engine in ("torch-packed", "onnxruntime"):
        return "exact"
    allowed = bool(card.tolerance.get("bf16", False))
    return "bf16" if allowed and (device != "cpu" or bf16_is_fast()) else "exact"
