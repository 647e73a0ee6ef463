"""A card's network in a form for other programs, read back and compared with the source before it is kept.

`onnx`: float32 weights, free batch; `openvino`: an IR file with its weights beside it; `torch-export`: a program for
`torch.export.load` (free batch). Each takes and gives what the network does: B C *spatial to its outputs.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from vitapps.errors import MissingError, VitappsError
from vitapps.shared_backbones.engines.check_input import relative_error
from vitapps.shared_backbones.engines.export import export_graph
from vitapps.shared_backbones.engines.model import Run
from vitapps.shared_backbones.engines.openvino import load_openvino, open_core

Form = Literal["onnx", "openvino", "torch-export"]
SUFFIXES: dict[Form, str] = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
TOLERANCE = 1e-4  # relative to the largest output value: float32 in another order of summation


def export_module(module: nn.Module, example: Tensor, path: Path, form: Form, output_names: Sequence[str]) -> float:
    """Write `module` to `path` and return the relative error of what is read back on an input of batch 3.

    Raises VitappsError when it computes something else; MissingError without the packages that the form needs.
    """
    module = module.eval()
    writers: dict[Form, Callable[..., None]] = {"onnx": _onnx, "openvino": _openvino, "torch-export": _program}
    writers[form](module, example, path, output_names)
    image = torch.rand((3, *example.shape[1:]), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = module(image)
    wanted = [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]
    error = relative_error(open_exported(path)(image.numpy()), wanted)
    if not error <= TOLERANCE:
        raise VitappsError(f"{path}: read back, it differs from its source by {error:.1e}", hint="report this")
    return error


def open_exported(path: Path) -> Run:
    """What `export_module` wrote, as a function of arrays, in float32. Raises MissingError for another file."""
    if path.suffix == SUFFIXES["torch-export"]:
        return _open_program(path)
    if path.suffix not in SUFFIXES.values():
        raise MissingError(f"{path}: no exported network", hint=f"one of {', '.join(SUFFIXES.values())}")
    from vitapps.shared_backbones.engines.openvino import compile_graph

    return compile_graph(path, card_name=path.stem, precision="exact", threads=0, keep=False).run


def _onnx(module: nn.Module, example: Tensor, path: Path, output_names: Sequence[str]) -> None:
    export_graph(module, example, path, output_names, half=False)


def _openvino(module: nn.Module, example: Tensor, path: Path, output_names: Sequence[str]) -> None:
    """By way of ONNX: OpenVINO's own converter reports its use to its maker (`openvino.load_openvino`)."""
    openvino = load_openvino()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.onnx"
        export_graph(module, example, source, output_names, half=False)
        openvino.save_model(open_core().read_model(str(source)), str(path), compress_to_fp16=False)


def _program(module: nn.Module, example: Tensor, path: Path, output_names: Sequence[str]) -> None:
    batch = torch.export.Dim("batch", min=1, max=1024)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        two = torch.cat([example, example])  # an example of one would fix the batch
        program = torch.export.export(module, (two,), dynamic_shapes=({0: batch},))
        torch.export.save(program, str(path))


def _open_program(path: Path) -> Run:
    module: Any = torch.export.load(str(path)).module()

    def run(*inputs: Any) -> tuple[Any, ...]:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in inputs))
        return tuple(part.numpy() for part in (found if isinstance(found, tuple) else (found,)))

    return run
