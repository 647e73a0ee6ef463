"""The saved graphs of a card: which file a precision means, compiled by an engine that reads graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitapps.errors import MissingError
from vitapps.shared_backbones.engines import onnxruntime, openvino
from vitapps.shared_backbones.engines.model import CompiledModel
from vitapps.shared_backbones.weights.cards import Card, graph_path, int8_path


def compile_card_graph(
    card: Card, *, engine: str, precision: str, threads: int, together: int = 1
) -> CompiledModel:  # fmt: skip
    """Compile the graph of `card` that `precision` needs, its sha256 checked, by `openvino` or `onnxruntime`; the first
    runs `together` calls at once.

    Raises MissingError where the card has no such graph, or the file or the engine is missing.
    """
    quantized = precision == "int8"
    path = int8_path(card) if quantized else graph_path(card)
    sha256 = card.int8_sha256 if quantized else card.graph_sha256
    if engine == "onnxruntime":
        return onnxruntime.compile_graph(
            path, card_name=card.name, precision=precision, threads=threads, sha256=sha256
        )  # fmt: skip
    return openvino.compile_graph(
        path, card_name=card.name, precision=precision, threads=threads, sha256=sha256, together=together
    )  # fmt: skip


def input_shape(card: Card) -> tuple[int, ...]:
    """1 C *spatial of the network's input: as in the card's check, else as its graph says (free axes count as 1), else
    from its configuration. Raises MissingError where nothing says it."""
    if card.check:
        from vitapps.shared_backbones.engines.check_input import read_check

        return read_check(card)[0][:1].shape
    if card.graph_file:
        return tuple(side or 1 for side in graph_input(graph_path(card)))
    size = card.config.get("image_size")
    if size is None:
        raise MissingError(f"{card.name}: its card names no input size", hint="publish it again, with its graph")
    return (1, int(card.config.get("in_chans", 3)), *(int(side) for side in size))


def graph_input(path: Path) -> tuple[int, ...]:
    """Shape of the first input of an ONNX or OpenVINO file, 0 for free axes; MissingError where it is no graph."""
    shape = _read(path).inputs[0].get_partial_shape()
    if shape.rank.is_dynamic:
        return ()
    return tuple(axis.get_length() if axis.is_static else 0 for axis in shape)


def output_names(card: Card) -> tuple[str, ...]:
    """Names of the network's outputs, read from its graph; `output` where the card has none."""
    if not card.graph_file:
        return ("output",)
    ports = _read(graph_path(card)).outputs
    return tuple(port.get_any_name() for port in ports)


def _read(path: Path) -> Any:
    return openvino.read_graph(openvino.open_core(), path)
