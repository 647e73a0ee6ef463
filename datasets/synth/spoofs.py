"""Simulated clues of presentation attacks on a live face picture: what a print or a screen does to pixels.

Recipes: SPSC and SDSC of the Unified Physical-Digital Attack Detection challenge (He et al. 2024, CVPR Workshops):
colour distortion for prints, moire for replays; the moire is not drawn but comes out of rendering the screen's stripes
at three times the size, turning them and sampling again.

    print    smaller gamut and paper white, dots of a halftone screen, blur of the lens, the paper's edge
    replay   sub-pixel stripes turned by a few degrees and sampled again, blue cast, gamma, a patch of glare, a bezel
    live     light, colour and sharpness at random, so that no model takes these for the clue

Nothing here is a real attack: no paper texture, no real screen or lens. A model that has seen only this is no liveness
detector; the pictures serve to test, to augment, and to ask whether a score reacts to a clue at all.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Species = Literal["live", "print", "replay"]
Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


def simulate(face: Image, species: Species, seed: int) -> Image:
    """One presentation of a face H W 3 uint8, of the same size. One seed gives one result."""
    rng = np.random.default_rng(seed)
    picture: Floats = face.astype(np.float32) / np.float32(255)
    if species == "print":
        picture = _printed(picture, rng)
    elif species == "replay":
        picture = _replayed(picture, rng)
    return (_seen(picture, rng).clip(0, 1) * 255).round().astype(np.uint8)


def _printed(picture: Floats, rng: np.random.Generator) -> Floats:
    grey = picture.mean(axis=2, keepdims=True)
    faded = grey + (picture - grey) * rng.uniform(0.5, 0.85)
    black, white = rng.uniform(0.05, 0.18), rng.uniform(0.85, 0.97)
    inked = black + faded * (white - black)
    dots = _halftone(picture.shape[0], picture.shape[1], rng)
    inked = inked + rng.uniform(0.02, 0.08) * dots * (1 - inked)
    soft = cv2.GaussianBlur(inked, (0, 0), rng.uniform(0.5, 1.3))
    return _with_edge(np.asarray(soft, np.float32), rng, np.array([0.4, 0.38, 0.35], np.float32))


def _halftone(height: int, width: int, rng: np.random.Generator) -> Floats:
    """Three dot screens at their own angles, period 2 to 4 pixels, H W 3 in -1..1."""
    period = rng.uniform(2.0, 4.0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    screens = []
    for degrees in (15.0, 45.0, 75.0):
        angle = np.deg2rad(degrees + rng.uniform(-3, 3))
        u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        screens.append(np.cos(2 * np.pi * u / period) * np.cos(2 * np.pi * v / period))
    return np.stack(screens, axis=2).astype(np.float32)


def _replayed(picture: Floats, rng: np.random.Generator) -> Floats:
    height, width = picture.shape[:2]
    screen = np.asarray(cv2.resize(picture, (3 * width, 3 * height), interpolation=cv2.INTER_NEAREST), np.float32)
    for channel in range(3):  # each sub-pixel shines in its own third of the pixel
        lit = np.zeros(3 * width, np.float32)
        lit[channel::3] = 1
        screen[..., channel] *= 0.25 + 2.25 * lit
    scale = rng.uniform(0.3, 0.37)  # near a third, so that stripes and sensor beat
    turn = cv2.getRotationMatrix2D((1.5 * width, 1.5 * height), rng.uniform(-6, 6), scale)
    turn[:, 2] += (width / 2 - 1.5 * width, height / 2 - 1.5 * height)
    seen = cv2.warpAffine(screen, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    cast = np.array([rng.uniform(0.8, 0.95), rng.uniform(0.9, 1.0), rng.uniform(1.0, 1.15)], np.float32)
    shown = np.asarray(seen, np.float32).clip(0, 2) ** np.float32(rng.uniform(0.8, 1.3)) * cast
    glare = _spot(height, width, rng) * np.float32(rng.uniform(0, 0.6))
    return _with_edge(shown + glare[..., None], rng, np.array([0.03, 0.03, 0.04], np.float32))


def _spot(height: int, width: int, rng: np.random.Generator) -> Floats:
    """A soft bright ellipse, H W in 0..1."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    cy, cx = rng.uniform(0, height), rng.uniform(0, width)
    ry, rx = rng.uniform(0.08, 0.3) * height, rng.uniform(0.08, 0.3) * width
    return np.asarray(np.exp(-(((y - cy) / ry) ** 2) - ((x - cx) / rx) ** 2), np.float32)


def _with_edge(picture: Floats, rng: np.random.Generator, colour: Floats) -> Floats:
    """In a third of the pictures the edge of paper or device shows at one side."""
    if rng.random() > 0.33:
        return picture
    share = rng.uniform(0.03, 0.12)
    strip = max(1, round(share * picture.shape[1]))
    framed = picture.copy()
    if rng.random() < 0.5:
        framed[:, :strip] = colour
    else:
        framed[:, -strip:] = colour
    return framed


def _seen(picture: Floats, rng: np.random.Generator) -> Floats:
    """The camera: gain, white balance, sharpness and noise, for live faces as for attacks."""
    gain = rng.uniform(0.8, 1.2) * (1 + rng.uniform(-0.08, 0.08, 3).astype(np.float32))
    shown = picture * gain.astype(np.float32)
    if rng.random() < 0.5:
        shown = np.asarray(cv2.GaussianBlur(shown, (0, 0), rng.uniform(0.3, 1.0)), np.float32)
    return np.asarray(shown + rng.normal(0, rng.uniform(0.002, 0.012), shown.shape), np.float32)
