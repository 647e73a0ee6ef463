"""A trained module as the files of a card: fp16 safetensors, ONNX graph, int8 graph on request, check, TOML."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vitapps.atomic import atomic_path
from vitapps.provenance import sha256_file
from vitapps.require import require
from vitapps.shared_backbones.engines.check_input import enlarged, made_up_input, write_check
from vitapps.shared_backbones.engines.export import SMALL, export_graph, halve_graph, rounded_to_half
from vitapps.shared_backbones.engines.int8 import quantize_graph
from vitapps.shared_backbones.weights.cards import Card, write_card
from vitapps.shared_backbones.weights.int8_card import batches, int8_fields

NOISE = 1 << 18  # values of a made-up check input: half a MiB


def publish(
    module: nn.Module,
    card: Mapping[str, Any],
    out: Path,
    *,
    example: Tensor,
    output_names: Sequence[str],
    calibration: NDArray[np.float32] | None = None,
    typical: NDArray[np.float32] | None = None,
    free_axes: Sequence[int] = (),
) -> Path:
    """Write `<name>.safetensors`, `<name>.onnx`, `<name>.check.safetensors` and `<name>.toml` to `out`; returns the
    card's path.

    `card` holds the fields of `Card` but for files, sizes and checksums, which are filled in here. `calibration`
    B C *spatial: typical inputs, which add `<name>.int8.onnx`. The check input is the first of `typical`, else of
    `calibration`, else noise, which is coarse where the input is so large that the file would be.
    `free_axes` of the input may have any size in the graph, as its batch has.
    """
    files = require("safetensors.torch", package="safetensors")
    out.mkdir(parents=True, exist_ok=True)
    name = str(card["name"])
    module = rounded_to_half(module.cpu())
    state = {key: _stored(value) for key, value in module.state_dict().items()}
    path = out / f"{name}.toml"
    with atomic_path(path, overwrite=True) as temporary:  # all files of one model, never of two
        weights, graph = temporary.with_suffix(".safetensors"), temporary.with_suffix(".onnx")
        files.save_file({key: torch.clone(value) for key, value in state.items()}, str(weights))
        int8 = temporary.with_name(f"{name}.int8.onnx")
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "float32.onnx"  # the quantizer folds no casts, so it does not start from the halves
            export_graph(module, example, source, output_names, half=False, free_axes=free_axes)
            halve_graph(source, graph)
            if calibration is not None:
                quantize_graph(source, int8, batches(calibration))
        typical = calibration if typical is None else typical
        image, times = _made_up(example[:1].shape) if typical is None else (typical[:1], 1)
        full = Card(
            **card, weights_file=weights.name, sha256=sha256_file(weights), size=weights.stat().st_size,
            graph_file=graph.name, graph_sha256=sha256_file(graph), graph_size=graph.stat().st_size,
            folder=out,
            check=_check(module, image, temporary.with_name(f"{name}.check.safetensors"), times),
            **(int8_fields(int8) if calibration is not None else {}),
        )  # fmt: skip
        write_card(full, temporary)
    return path


def _stored(value: Tensor) -> Tensor:
    """Halves, but for small tensors, which cost nothing and stay exactly what the graph holds."""
    shrinks = value.is_floating_point() and value.numel() > SMALL
    return (value.half() if shrinks else value).contiguous()


def _made_up(shape: Sequence[int]) -> tuple[NDArray[np.float32], int]:
    """Noise that, each value repeated so many times along every spatial axis, has `shape`."""
    size, spatial = math.prod(shape), shape[2:]
    fits = (n for n in range(1, 9) if size <= NOISE * n ** len(spatial) and not any(side % n for side in spatial))
    times = next(fits, 1)
    return made_up_input((*shape[:2], *(side // times for side in spatial))), times


def _check(module: nn.Module, image: NDArray[np.float32], path: Path, times: int) -> dict[str, Any]:
    """Write the check of the exact module on `image` 1 C *spatial, enlarged, and return what the card says of it."""
    image = image.astype(np.float16).astype(np.float32)
    with torch.inference_mode():
        found = module.eval()(torch.from_numpy(enlarged(image, times)))
    outputs = found if isinstance(found, tuple) else (found,)
    write_check(path, image, tuple(output.float().numpy() for output in outputs), times=times)
    return {"file": path.name, "sha256": sha256_file(path), "size": path.stat().st_size}
