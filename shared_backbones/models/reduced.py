"""`--reduce` for a built network: every ViT inside it gets the reducer, its weights stay."""

from __future__ import annotations

import copy
from typing import TypeVar, cast

from torch import nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.token_reduction.spec import ReduceSpec, parse_reduce, reduced_config
from vitapps.shared_backbones.weights.load import parameters_on_meta

Model = TypeVar("Model", bound=nn.Module)


def reduced_model(model: Model, spec: str | None) -> Model:
    """A copy of `model` whose ViTs reduce tokens as `spec` says (`token_reduction/spec.py`); "none" or None: `model`
    itself. Heads for dense maps find the full grid as before. UsageError where no ViT is inside, or the spec does not
    fit it."""
    found = None if spec is None else parse_reduce(spec)
    if found is None:
        return model
    if isinstance(model, ViT):
        return cast(Model, _reduced(model, found))
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
    if other.reducer is not None and other.reducer.needs:
        raise UsageError(f"--reduce {spec.name} needs {other.reducer.needs}", hint="tome, vomix, evit, topk or skipvit")
    other.load_state_dict(vit.state_dict(), assign=True)
    return other.train(vit.training)
