"""`--reduce tome:r=13`: what a user writes about token reduction, and the configuration that comes of it.

    none
    tome:r=13                       13 tokens fewer in every block
    tome:r=45,at=2/5/8              only in blocks 2, 5 and 8, counted from 0
    tome:r=20>4                     from 20 in the first block linearly down to 4 in the last
    evit:keep=0.7,at=3/6/9          of the patches of those blocks 70 % stay
    skipvit:keep=0.45,at=4,span=6   parked tokens come back after 6 blocks

Strengths are worked out for the native grid of a configuration, and cut to what each block has left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vitapps.errors import UsageError
from vitapps.shared_backbones import slots

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig
    from vitapps.shared_backbones.token_reduction._protocol import Reducer

KEYS = ("r", "keep", "at", "span")
EXAMPLE = "for example tome:r=13, or evit:keep=0.7,at=3/6/9"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReduceSpec:
    """`name`: a reducer; `first` and `last`: tokens that go in the first and in the last reducing block, None where
    `keep` says which share of the patches stays; `at`: the reducing blocks, empty for all; `span`: blocks skipped."""

    name: str
    first: int | None = None
    last: int | None = None
    keep: float | None = None
    at: tuple[int, ...] = ()
    span: int = 0


def parse_reduce(text: str) -> ReduceSpec | None:
    """Read `NAME:key=value,...`; None for "none". UsageError says what is wrong and what would be right."""
    name, _, rest = text.strip().partition(":")
    if name in ("none", ""):
        if rest or not name:
            raise UsageError(f"--reduce {text!r}: no reducer is named", hint=EXAMPLE)
        return None
    if not hasattr(slots.load("token_reduction", name), "CARD"):  # an unknown name is refused with close matches
        raise UsageError(f"--reduce {text!r}: '{name}' is not a reducer", hint=f"known: {', '.join(reducers())}")
    fields = _fields(rest, text)
    first, last = _strength(fields.get("r"), text)
    keep = _share(fields.get("keep"), text)
    if (first is None) == (keep is None):
        raise UsageError(f"--reduce {text!r}: give r or keep, one of them", hint=EXAMPLE)
    span = _whole(fields.get("span", "0"), "span", text)
    return ReduceSpec(name=name, first=first, last=last, keep=keep, at=_blocks(fields.get("at"), text), span=span)


def reducers() -> list[str]:
    """Names that `--reduce` takes: members with a card."""
    names = slots.members("token_reduction")
    return [name for name in names if hasattr(slots.load("token_reduction", name), "CARD")]


def reduced_config(config: ViTConfig, spec: ReduceSpec | str | None) -> ViTConfig:
    """`config` with the reducer of `spec` in its slots; UsageError for blocks that it does not have."""
    spec = parse_reduce(spec) if isinstance(spec, str) else spec
    if spec is None:
        return replace(config, reducer="none", reduce=(), reduce_span=0)
    wrong = [block for block in spec.at if block >= config.depth]
    if wrong:
        raise UsageError(f"--reduce: block {wrong[0]} of a model with {config.depth}", hint=f"0 to {config.depth - 1}")
    at = spec.at or tuple(range(1, config.depth - 1) if spec.name == "random_ltd" else range(config.depth))
    asked = _per_block(spec, at)
    module = slots.load("token_reduction", spec.name)
    neutral = replace(config, reducer=spec.name, reduce=(), reduce_span=spec.span)
    reducer: Reducer = module.build(neutral).train()
    reduced = replace(neutral, reduce=_cut(asked, config, reducer, spec.keep))
    module.build(reduced)  # refuses combinations that only this technique knows
    return reduced


def _per_block(spec: ReduceSpec, at: tuple[int, ...]) -> dict[int, int]:
    """Asked tokens of every reducing block; with `keep` they follow from what is left."""
    if spec.first is None or spec.last is None:
        return dict.fromkeys(at, 0)
    steps = max(len(at) - 1, 1)
    return {block: round(spec.first + (spec.last - spec.first) * i / steps) for i, block in enumerate(sorted(at))}


def _cut(asked: dict[int, int], config: ViTConfig, reducer: Reducer, keep: float | None) -> tuple[int, ...]:
    """Tokens that really go in every block, given how many patches it still has."""
    whole = patches = math.prod(config.grid)
    gone: list[int] = []
    for block in range(config.depth):
        r = asked.get(block, 0)
        if block in asked and keep is not None:
            r = reducer.strength(patches, keep)
        gone.append(min(r, reducer.limit(patches)))
        patches -= gone[-1]
        first = block - reducer.span + 1  # the block whose tokens come back after this one
        if reducer.span and first >= 0 and gone[first]:
            patches = whole
    return tuple(gone)


def _fields(rest: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.strip().partition("=")
        if not equals or not value:
            raise UsageError(f"--reduce {text!r}: '{part}' is not key=value", hint=EXAMPLE)
        if key not in KEYS:
            raise UsageError(f"--reduce {text!r}: no setting '{key}'", hint=f"known: {', '.join(KEYS)}")
        if key in found:
            raise UsageError(f"--reduce {text!r}: '{key}' twice", hint="give it once")
        found[key] = value
    return found


def _strength(value: str | None, text: str) -> tuple[int | None, int | None]:
    if value is None:
        return None, None
    first, _, last = value.partition(">")
    start = _whole(first, "r", text)
    return start, _whole(last, "r", text) if last else start


def _share(value: str | None, text: str) -> float | None:
    if value is None:
        return None
    try:
        share = float(value)
    except ValueError:
        share = math.nan
    if not 0.0 < share <= 1.0:
        raise UsageError(f"--reduce {text!r}: keep={value}", hint="a share above 0, up to 1")
    return share


def _blocks(value: str | None, text: str) -> tuple[int, ...]:
    return () if value is None else tuple(sorted({_whole(part, "at", text) for part in value.split("/")}))


def _whole(value: str, key: str, text: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise UsageError(f"--reduce {text!r}: {key}={value}", hint=f"{key} takes whole numbers from 0")
    return int(value)
