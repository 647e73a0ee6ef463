"""What drawn people wear: colours as they are worn, bare arms and legs, coats, bags, and patterns of cloth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Floats = NDArray[np.float32]
# red, green, blue of cloth and how often it is worn: most of what people wear is dark, grey or blue
_CLOTH = (
    ((28, 28, 32), 5), ((45, 48, 56), 3), ((32, 40, 66), 4), ((62, 80, 112), 3), ((92, 112, 142), 1.5),
    ((110, 110, 112), 2), ((160, 160, 162), 1.5), ((222, 222, 220), 3), ((196, 182, 152), 1.5), ((124, 98, 70), 1.5),
    ((74, 56, 44), 1.5), ((150, 32, 38), 1.5), ((200, 60, 60), 0.7), ((56, 84, 56), 1), ((96, 104, 64), 0.7),
    ((60, 110, 180), 1), ((228, 200, 70), 0.5), ((222, 120, 40), 0.5), ((196, 120, 160), 0.7), ((110, 60, 120), 0.5),
    ((190, 230, 60), 0.3),
)  # fmt: skip
_SKIN = ((244, 208, 180), (226, 180, 148), (198, 146, 110), (150, 102, 72), (96, 64, 46), (66, 44, 34))
_HAIR = ((18, 16, 16), (38, 28, 22), (70, 48, 32), (116, 84, 52), (186, 156, 104), (150, 148, 146), (214, 212, 208))
_HAIR_SHARES = (6, 5, 4, 2, 2, 1, 1)


@dataclass(frozen=True, slots=True)
class Outfit:
    """Colours are red, green, blue 0..255; `cuff` metres of the ankle's radius; `pattern` names what the upper garment
    shows ("" for plain), `pattern_strength` 0..1; `hem` is the colour of a coat's or skirt's lower part."""

    upper: Colour
    lower: Colour
    hem: Colour
    shoes: Colour
    skin: Colour
    hair: Colour
    extra: Colour
    cuff: float
    hair_bulk: float
    bare_arms: bool
    bare_legs: bool
    coat: bool
    pack: bool
    bag: bool
    pattern: str
    pattern_strength: float


def draw_outfit(rng: np.random.Generator) -> Outfit:
    """One person's clothes."""
    upper = cloth(rng)
    lower = upper if rng.random() < 0.08 else cloth(rng)
    hatted = rng.random() < 0.15
    return Outfit(
        upper=upper,
        lower=lower,
        hem=upper if rng.random() < 0.6 else cloth(rng),
        shoes=cloth(rng),
        skin=_varied(_SKIN[int(rng.integers(len(_SKIN)))], rng, 8),
        hair=cloth(rng) if hatted else _varied(_HAIR[int(rng.choice(len(_HAIR), p=_shares(_HAIR_SHARES)))], rng, 6),
        extra=cloth(rng),
        cuff=rng.uniform(0.042, 0.075),
        hair_bulk=float(abs(rng.normal(0, 0.08))),
        bare_arms=bool(rng.random() < 0.35),
        bare_legs=bool(rng.random() < 0.18),
        coat=bool(rng.random() < 0.25),
        pack=bool(rng.random() < 0.15),
        bag=bool(rng.random() < 0.15),
        pattern=str(rng.choice(["", "stripes", "checks", "speckle", "block"], p=[0.62, 0.12, 0.08, 0.08, 0.10])),
        pattern_strength=rng.uniform(0.3, 0.9),
    )  # fmt: skip


def cloth(rng: np.random.Generator) -> Colour:
    """A colour of cloth, varied in light and tint."""
    base = _CLOTH[int(rng.choice(len(_CLOTH), p=_shares(tuple(weight for _, weight in _CLOTH))))][0]
    return _varied(base, rng, 9)


def pattern(outfit: Outfit, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """What the upper garment shows, H W 3 in 0..255."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    period = rng.uniform(5, 22)
    lean = rng.normal(0, 0.15)
    if outfit.pattern == "stripes":
        share = _wave(y + lean * x, period)
    elif outfit.pattern == "checks":
        share = 0.5 * (_wave(y + lean * x, period) + _wave(x - lean * y, period))
    elif outfit.pattern == "block":  # two halves, as sports shirts and vests have
        share = (y > height * rng.uniform(0.22, 0.45)).astype(np.float32)
    else:
        cells = (max(2, round(height / period * 2)), max(2, round(width / period * 2)))
        share = np.asarray(cv2.resize(rng.random(cells, np.float32), (width, height)), np.float32)
    first, second = np.array(outfit.upper, np.float32), np.array(cloth(rng), np.float32)
    return np.asarray(first + share[..., None] * (second - first), np.float32)


def _wave(along: Floats, period: float) -> Floats:
    return np.asarray(np.clip(0.5 + 1.5 * np.sin(along * (2 * math.pi / period)), 0, 1), np.float32)


def _shares(weights: tuple[float, ...]) -> NDArray[np.float64]:
    return np.asarray(np.array(weights) / np.sum(weights), np.float64)


def _varied(colour: Colour, rng: np.random.Generator, spread: float) -> Colour:
    light = math.exp(rng.normal(0, 0.2))
    red, green, blue = (float(v) for v in (np.array(colour) * light + rng.normal(0, spread, 3)).clip(2, 250))
    return red, green, blue
