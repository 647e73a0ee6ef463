"""A trained module as the three files of a card: fp16 safetensors, ONNX graph, TOML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitapps.atomic import atomic_path
from vitapps.provenance import sha256_file
from vitapps.require import require
from vitapps.shared_backbones.engines.export import export_graph
from vitapps.shared_backbones.weights.cards import Card, write_card


def publish(
    module: nn.Module, card: Mapping[str, Any], out: Path, *, example: Tensor, output_names: Sequence[str]
) -> Path:
    """Write `<name>.safetensors`, `<name>.onnx` and `<name>.toml` to `out`; returns the card's path.

    `card` holds the fields of `Card` but for files, sizes and checksums, which are filled in here.
    """
    files = require("safetensors.torch", package="safetensors")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{card['name']}.toml"
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in module.cpu().state_dict().items()
    }
    with atomic_path(path, overwrite=True) as temporary:  # card, weights and graph of one model, never of two
        weights, graph = temporary.with_suffix(".safetensors"), temporary.with_suffix(".onnx")
        files.save_file({key: torch.clone(value) for key, value in state.items()}, str(weights))
        export_graph(module, example, graph, output_names)
        full = Card(
            **card, weights_file=weights.name, sha256=sha256_file(weights), size=weights.stat().st_size,
            graph_file=graph.name, graph_sha256=sha256_file(graph), graph_size=graph.stat().st_size, folder=out,
        )  # fmt: skip
        write_card(full, temporary)
    return path
