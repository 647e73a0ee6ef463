"""A torch module as one ONNX file, weights stored as halves; checked against the module before it is kept."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitapps.errors import VitappsError
from vitapps.require import require

log = logging.getLogger("vitapps.engines.export")
SMALL = 256  # tensors up to this many values stay float32: they cost nothing
TOLERANCE = 2e-3  # relative to the largest output value; both sides use the rounded weights


def export_graph(
    module: nn.Module, example: Tensor, path: Path, output_names: Sequence[str], *, half: bool = True,
    free_axes: Sequence[int] = (),
) -> None:  # fmt: skip
    """Write `module` as ONNX with a free batch dimension. Raises VitappsError when the graph computes something else.

    With `half`, weights are stored as fp16 followed by a cast, which halves the file; arithmetic stays float32.
    `free_axes`: axes of the input besides the batch whose size may be any, such as the width of a line.
    """
    require("onnxscript", extra="train")
    rounded = rounded_to_half(module) if half else copy.deepcopy(module).eval()
    axes = {0: torch.export.Dim("batch", min=1, max=1024)}
    axes |= {axis: torch.export.Dim(f"size{axis}", min=2, max=1 << 20) for axis in free_axes}
    two = torch.cat([example, example])  # an example of one would fix the batch
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            rounded, (two,), str(path), input_names=["image"], output_names=list(output_names), dynamo=True,
            external_data=False, verbose=False, dynamic_shapes=(axes,),
        )  # fmt: skip
    _forget_origin(path)
    if half:
        halve_graph(path, path)
    _check(rounded, _other_size(example, free_axes), path)


def _other_size(example: Tensor, axes: Sequence[int]) -> Tensor:
    """The example twice as large along `axes`, so that the check sees a size that the export did not."""
    return example.repeat([2 if axis in axes else 1 for axis in range(example.ndim)])


def _forget_origin(path: Path) -> None:
    """Drop the stack traces that the exporter notes at every node: they hold paths of this machine, and a tenth of the
    file."""
    onnx = require("onnx", extra="train")
    model = onnx.load(str(path))
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, str(path))


def halve_graph(source: Path, out: Path) -> None:
    """Write the ONNX file `source` with its weights stored as halves wherever that changes no value."""
    onnx = require("onnx", extra="train")
    graph = onnx.load(str(source))
    _halve(onnx, graph)
    onnx.save(graph, str(out))


def rounded_to_half(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose large weights are exactly what fp16 can hold."""
    copied = copy.deepcopy(module).eval()
    for part in copied.state_dict().values():
        if part.is_floating_point() and part.numel() > SMALL:
            part.copy_(part.half().float())
    return copied


def _halve(onnx: Any, model: Any) -> None:
    """Replace every large float32 initializer by its fp16 form and a Cast with the old name.

    One whose values are no halves stays: a table that the network computes and the weights file does not hold.
    """
    kept, casts = [], []
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype != "float32" or array.size <= SMALL or not (array.astype("float16") == array).all():
            kept.append(tensor)
            continue
        name = f"{tensor.name}_half"
        kept.append(onnx.numpy_helper.from_array(array.astype("float16"), name))
        casts.append(onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


def _check(module: nn.Module, example: Tensor, path: Path) -> None:
    from vitapps.shared_backbones.engines.openvino import compile_graph

    image = torch.rand(example.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = module(image)
    found = compile_graph(path, card_name=path.stem, precision="exact", threads=0, keep=False)(image.numpy())
    for ours, theirs in zip(found, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        error = float((torch.from_numpy(ours) - theirs).abs().max() / theirs.abs().max().clamp_min(1e-6))
        log.info("%s: relative error of the graph %.1e", path.name, error)
        if not error <= TOLERANCE:
            raise VitappsError(f"{path}: the graph differs from the module by {error:.1e}", hint="report this")
