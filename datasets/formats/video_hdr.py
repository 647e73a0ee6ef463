"""Frames of phones in HDR (HLG or PQ) brought to the SDR that people look at and networks have seen.

ITU-R BT.2100-2: the transfer functions (tables 4 and 5), HLG's system gamma of 1.2 at 1,000 cd/m2. BT.2408: reference
white at 203 cd/m2, which becomes white here. BT.2087: primaries of BT.2020 to those of BT.709. What is brighter than
0.8 of white is compressed by an exponential, which is ours.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
PQ, HLG, WIDE = 16, 18, 9  # of FFmpeg: transfer functions, primaries of BT.2020
NAMES = {PQ: "PQ", HLG: "HLG"}
_WHITE, _PEAK = 203.0, 1000.0  # cd/m2
_KNEE = 0.8
_STEPS = 4096
_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)  # BT.2020
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)


def to_sdr(pixels: Pixels, transfer: int, primaries: int = WIDE) -> Pixels:
    """H W 3 R'G'B' in `transfer` (PQ or HLG) -> H W 3 of sRGB; others are given back as they are."""
    if transfer not in NAMES:
        return pixels
    light: Floats = cv2.LUT(pixels, _curve(transfer)).astype(np.float32, copy=False)  # 1 is reference white
    if transfer == HLG:
        scene = cv2.transform(light, _LUMA[None])  # H W
        light = light * (np.power(scene, 0.2) * np.float32(_PEAK / _WHITE))[..., None]
    if primaries == WIDE:
        light = np.asarray(cv2.transform(light, _TO_709), np.float32)
    steps = np.sqrt(light.clip(0, 16) / 16) * (_STEPS - 1)  # finer in the dark
    return _shown()[steps.astype(np.int32)]


@functools.cache
def _curve(transfer: int) -> Floats:
    """256: linear light of a code; of PQ in reference whites, of HLG that of the scene, 0..1."""
    code = np.arange(256) / 255
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = code ** (1 / m2)
    return (10000 / _WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)).astype(np.float32)


@functools.cache
def _shown() -> Pixels:
    """The byte of sRGB for the square roots of light from 0 to 16 reference whites, in `_STEPS` steps."""
    light = 16 * np.linspace(0, 1, _STEPS) ** 2
    kept = np.where(light <= _KNEE, light, 1 - (1 - _KNEE) * np.exp(-(light - _KNEE) / (1 - _KNEE)))
    code = np.where(kept <= 0.0031308, 12.92 * kept, 1.055 * kept ** (1 / 2.4) - 0.055)
    return (255 * code).round().astype(np.uint8)
