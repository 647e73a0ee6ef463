"""Training windows of tree crowns: crops, mosaics and pasted crowns from many tiles, under strong colour changes.

Every window is drawn from its own seed, so a run is the same whatever the order in which windows are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vitapps.datasets.sets.neon_trees import Tile, sites_of
from vitapps.shared_backbones.heads.detect_loss import make_targets

Boxes = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowConfig:
    """`zoom` is the range of scale factors (log-uniform); `visible` the share of a cut box that has to remain;
    `smallest` the least side in pixels; `mosaic` the probability that a window is four quarters of different
    tiles."""

    size: int = 256
    stride: int = 4
    zoom: tuple[float, float] = (0.5, 1.6)
    visible: float = 0.35
    smallest: float = 6.0
    mosaic: float = 0.4


class TreeWindows:
    """`sample(seed) -> (image 3 S S in 0..1, heat 1 S/4 S/4, boxes 4 S/4 S/4)`.

    Sites are drawn by the root of their number of tiles; each of `mixed` is a list of other tiles and the share of
    the draws that they get.
    """

    def __init__(
        self, tiles: Sequence[Tile], config: WindowConfig, mixed: Sequence[tuple[Sequence[Tile], float]] = ()
    ) -> None:
        self.config = config
        self.groups, own = _groups(tiles)
        shares = [own * (1 - sum(share for _, share in mixed))]
        for others, share in mixed:
            more, within = _groups(others)
            self.groups += more
            shares.append(within * share)
        self.share = np.concatenate(shares)

    def sample(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng(seed)
        image, boxes = self._mosaic(rng) if rng.random() < self.config.mosaic else self._crop(rng, self.config.size)
        image = recolour(image, rng)
        heat, target = make_targets(boxes, self.config.size, self.config.stride)
        return image, heat, target

    def _mosaic(self, rng: np.random.Generator) -> tuple[Tensor, Boxes]:
        """Four windows around a random point, each cut to its quarter."""
        size = self.config.size
        image = torch.zeros(3, size, size)
        middle_x, middle_y = (int(value) for value in rng.integers(size // 4, size - size // 4, 2))
        found = []
        for x0, y0, x1, y1 in _quarters(middle_x, middle_y, size):
            part, boxes = self._crop(rng, max(x1 - x0, y1 - y0))
            image[:, y0:y1, x0:x1] = recolour(part[:, : y1 - y0, : x1 - x0], rng, gentle=True)
            kept = cut_boxes(boxes, x1 - x0, y1 - y0, self.config)
            found.append(kept + np.array([x0, y0, x0, y0], np.float32))
        return image, np.concatenate(found)

    def _crop(self, rng: np.random.Generator, size: int) -> tuple[Tensor, Boxes]:
        """A turned, mirrored and scaled crop of one tile, `size` pixels a side."""
        tiles = self.groups[int(rng.choice(len(self.groups), p=self.share))]
        image, boxes = tiles[int(rng.integers(len(tiles)))]
        low, high = self.config.zoom
        zoom = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        side = int(min(round(size / zoom), *image.shape[1:]))
        x, y = (int(rng.integers(limit - side + 1)) for limit in (image.shape[2], image.shape[1]))
        crop = image[:, y : y + side, x : x + side]
        moved = (boxes - np.array([x, y, x, y], np.float32)) * (size / side)
        crop = functional.interpolate(crop[None], (size, size), mode="bilinear", antialias=True, align_corners=False)[0]
        turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
        crop, moved = turn(crop, cut_boxes(moved, size, size, self.config), turns, mirrored)
        return crop, moved


def _groups(tiles: Sequence[Tile]) -> tuple[list[list[tuple[Tensor, Boxes]]], NDArray[np.float64]]:
    """Images 0..1 and boxes by site, and how often each site is drawn."""
    groups = [
        [(torch.from_numpy(tile.image).float() / 255, tile.boxes) for tile in tiles if tile.site == site]
        for site in sites_of(tiles)
    ]
    share = np.sqrt([len(group) for group in groups])
    return groups, share / share.sum()


def _quarters(x: int, y: int, size: int) -> tuple[tuple[int, int, int, int], ...]:
    return (0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)


def cut_boxes(boxes: Boxes, width: int, height: int, config: WindowConfig) -> Boxes:
    """Boxes cut to the window, without those of which too little remains or that are too small."""
    limit = np.array([width, height, width, height], np.float32)
    cut = np.clip(boxes, 0, limit)
    sides, before = cut[:, 2:] - cut[:, :2], boxes[:, 2:] - boxes[:, :2]
    keep = (sides.min(axis=1) >= config.smallest) & (sides.prod(axis=1) >= config.visible * before.prod(axis=1))
    return np.asarray(cut[keep], np.float32)


def turn(image: Tensor, boxes: Boxes, turns: int, mirrored: bool) -> tuple[Tensor, Boxes]:
    """Quarter turns counter-clockwise, then a left-right mirror, of a square window and its boxes."""
    size = image.shape[-1]
    image = torch.rot90(image, turns, (1, 2))
    for _ in range(turns):
        x0, y0, x1, y1 = boxes.T
        boxes = np.stack([y0, size - x1, y1, size - x0], axis=1)
    if mirrored:
        image = image.flip(2)
        boxes = np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], axis=1)
    return image.contiguous(), boxes


def recolour(image: Tensor, rng: np.random.Generator, *, gentle: bool = False) -> Tensor:
    """Random light, colour balance, saturation, gamma, shadow, blur and noise; 3 H W in 0..1 -> the same."""
    force = 0.4 if gentle else 1.0
    mix = np.eye(3) + rng.normal(0, 0.12 * force, (3, 3))
    mix /= mix.sum(axis=1, keepdims=True)
    image = torch.einsum("ij,jhw->ihw", torch.from_numpy(mix).float(), image)
    grey = image.mean(dim=0, keepdim=True)
    image = grey + (image - grey) * float(np.exp(rng.normal(0, 0.35 * force)))
    gain = torch.from_numpy(np.exp(rng.normal(0, 0.12 * force, 3) + rng.normal(0, 0.2 * force))).float()
    image = (image * gain[:, None, None]).clamp(0, 1) ** float(np.exp(rng.normal(0, 0.3 * force)))
    if gentle:
        return image
    if rng.random() < 0.25:
        image = image * _shadow(image, rng)
    if rng.random() < 0.25:
        image = functional.avg_pool2d(image[None], 3, 1, 1, count_include_pad=False)[0]
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.01, 0.05)
        image = image + torch.from_numpy(noise).float()
    return image.clamp(0, 1)


def _shadow(image: Tensor, rng: np.random.Generator) -> Tensor:
    """A soft half-plane of darkness as factors 1 H W."""
    height, width = image.shape[1:]
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6)
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None, :]
    edge = (float(np.cos(angle)) * x + float(np.sin(angle)) * y - float(rng.uniform(-0.7, 0.7))) * 8
    return (1 - depth * edge.sigmoid())[None]
