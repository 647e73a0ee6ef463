"""`--reduce` for a built network: every ViT inside it, or a tracker's blocks, get the reducer; their weights stay."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar, cast

from torch import nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.tracker import Tracker, block_config
from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.token_reduction._protocol import Reducer
from vitapps.shared_backbones.token_reduction.spec import ReduceSpec, parse_reduce, reduced_config
from vitapps.shared_backbones.weights.load import parameters_on_meta

Model = TypeVar("Model", bound=nn.Module)
Reducible = TypeVar("Reducible", ViT, Tracker)


def reduced_model(model: Model, spec: str | None) -> Model:
    """A copy of `model` whose ViTs reduce tokens as `spec` says (`token_reduction/spec.py`); "none" or None: `model`
    itself. Heads for dense maps find the full grid as before. UsageError where no ViT is inside, its blocks need the
    whole grid, or the spec does not fit it."""
    found = None if spec is None else parse_reduce(spec)
    if found is None:
        return model
    if isinstance(model, ViT):
        return cast(Model, _reduced(model, found))
    if isinstance(model, Tracker):
        return cast(Model, _reduced_tracker(model, found))
    names = [name for name, part in model.named_modules() if isinstance(part, ViT)]
    if not names:
        raise UsageError(f"--reduce {spec}: there is no ViT in {type(model).__name__}", hint="leave --reduce away")
    copied = copy.deepcopy(model)
    for name in names:
        parent, _, own = name.rpartition(".")
        vit = copied.get_submodule(name)
        assert isinstance(vit, ViT)
        setattr(copied.get_submodule(parent), own, _reduced(vit, found))
    return copied


def _reduced(vit: ViT, spec: ReduceSpec) -> ViT:
    with parameters_on_meta():
        other = ViT(reduced_config(vit.config, spec))
    return _with_weights(other, vit, spec)


def _reduced_tracker(tracker: Tracker, spec: ReduceSpec) -> Tracker:
    config = reduced_config(block_config(tracker.config), spec)
    with parameters_on_meta():
        other = Tracker(replace(
            tracker.config, reducer=config.reducer, reduce=config.reduce, reduce_span=config.reduce_span
        ))  # fmt: skip
    return _with_weights(other, tracker, spec)


def _with_weights(other: Reducible, plain: Reducible, spec: ReduceSpec) -> Reducible:
    """`other` with the weights of `plain`. UsageError where the reducer cannot work inside it."""
    if isinstance(other.reducer, Reducer) and other.reducer.needs:
        raise UsageError(f"--reduce {spec.name} needs {other.reducer.needs}", hint="tome, vomix, evit, topk or skipvit")
    if other.state_dict().keys() != plain.state_dict().keys():
        raise UsageError(
            f"--reduce {spec.name}: blocks of this {type(plain).__name__} have parts that need the whole grid",
            hint="leave --reduce away",
        )
    other.load_state_dict(plain.state_dict(), assign=True)
    return other.train(plain.training)
