"""Synthetic airborne RGB tiles of tree crowns with their boxes: a small renderer, deterministic from a seed.

What is modelled, in the order of the code:
- Placement: hard-core point process by dart throwing, largest crown first, with an allowed overlap (Matern type II
  thinning; Daley & Vere-Jones, An Introduction to the Theory of Point Processes, section 2.4).
- Crown surfaces: a cone, a dome or an umbrella over a star-shaped outline (a few Fourier terms), roughened by fractal
  noise (leaf clumps) and by radial lobes (conifer branches); height follows the crown radius with scatter (allometry).
- Ground: two to three materials mixed by fractal noise (power-law spectrum, Saupe 1988), with logs, stones, tufts,
  tracks and roofs, which look like anything but are not trees and have no box.
- Light: Lambert shading of the surface model, sky light lowered in hollows, and cast shadows. A shadow is a running
  maximum of the surface minus its drop along the sun's ray, found with a doubling step, so the cost does not grow with
  the shadow's length.
- Camera: gain, colour cast and gamma by tile, blur, shot noise.

It is no forest: species, leaf optics and view angle are not physical. It serves for tests, for the demo and as a
pre-training source; no score on it says anything about real trees.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Biome = Literal["conifer", "broadleaf", "savanna", "park"]
BIOMES: tuple[Biome, ...] = ("conifer", "broadleaf", "savanna", "park")
_COVER: dict[Biome, tuple[float, float]] = {
    "conifer": (0.08, 0.55), "broadleaf": (0.6, 1.1), "savanna": (0.05, 0.45), "park": (0.05, 0.35),
}  # fmt: skip
_RADIUS: dict[Biome, tuple[float, float]] = {  # metres: median, spread of the logarithm
    "conifer": (1.6, 0.4), "broadleaf": (2.7, 0.3), "savanna": (2.6, 0.45), "park": (2.3, 0.45),
}  # fmt: skip
_OVERLAP: dict[Biome, float] = {
    "conifer": 0.8,
    "broadleaf": 0.68,
    "savanna": 0.8,
    "park": 0.95,
}  # of the sum of two radii
_FORMS: dict[Biome, tuple[float, float, float]] = {  # shares of cone, dome, umbrella
    "conifer": (0.7, 0.3, 0.0), "broadleaf": (0.2, 0.5, 0.3), "savanna": (0.05, 0.6, 0.35), "park": (0.3, 0.6, 0.1),
}  # fmt: skip
_LEAVES: dict[Biome, tuple[tuple[int, int, int], ...]] = {  # sRGB of lit foliage
    "conifer": ((112, 122, 72), (92, 112, 72), (138, 134, 82), (166, 118, 82), (126, 124, 104)),
    "broadleaf": ((138, 172, 92), (106, 154, 90), (150, 190, 148), (126, 160, 118), (172, 186, 104), (86, 138, 84)),
    "savanna": ((146, 140, 118), (158, 150, 142), (134, 134, 92), (118, 120, 78), (168, 158, 134)),
    "park": ((104, 132, 70), (90, 120, 80), (144, 148, 86), (150, 104, 76), (120, 150, 96), (158, 150, 136)),
}
_GROUND = (
    (206, 156, 128), (178, 140, 112), (232, 214, 198), (150, 146, 100), (120, 144, 78), (176, 168, 132),
    (140, 126, 108), (196, 186, 152), (104, 128, 72), (160, 158, 154), (128, 120, 104),
)  # fmt: skip
_VISIBLE = 0.4  # share of a crown's outline that must be seen from above for it to carry a box


@dataclass(frozen=True, kw_only=True, slots=True)
class CanopyConfig:
    """What to draw. `size` is (rows, columns) in pixels, `gsd` metres per pixel; `None` is drawn from the seed.
    `cover` is the sum of crown areas over the tile area (above 1: closed canopy)."""

    size: tuple[int, int] = (400, 400)
    gsd: float = 0.1
    biome: Biome | None = None
    cover: float | None = None
    distractors: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CanopyTile:
    """`image` 3 H W uint8 RGB; `boxes` n 4 float32 `x0 y0 x1 y1` pixels with a pixel-corner origin, clipped to the
    tile; `crowns` H W int32, 0 ground, i the crown of box i - 1; `biome` as drawn."""

    image: NDArray[np.uint8]
    boxes: Floats
    crowns: NDArray[np.int32]
    biome: Biome


@dataclass(slots=True)
class _Scene:
    """The tile while it is built: `height` H W metres, `albedo` H W 3 linear 0..1, `owner` H W (0 ground)."""

    height: Floats
    albedo: Floats
    owner: NDArray[np.int32]
    gsd: float


def make_tile(seed: int, config: CanopyConfig | None = None) -> CanopyTile:
    """Draw the tile of `seed`; the same seed and configuration give the same bytes on one machine."""
    config = config or CanopyConfig()
    rng = np.random.default_rng(seed)
    biome = config.biome or BIOMES[int(rng.integers(len(BIOMES)))]
    scene = _ground(rng, config)
    if config.distractors:
        _litter(rng, scene)
    outlines = _plant(rng, scene, biome, config)
    image = _photograph(rng, scene, _light(rng, scene))
    boxes, crowns = _boxes(scene.owner, outlines)
    return CanopyTile(image=image, boxes=boxes, crowns=crowns, biome=biome)


def write_sample(
    path: Path, seed: int = 7, size: tuple[int, int] = (640, 800), biome: Biome | None = "conifer"
) -> CanopyTile:
    """Write a tile as a GeoTIFF (RGB uint8, deflate, 0.1 m, EPSG:32611, an invented place) and return it."""
    import rasterio
    from rasterio.transform import from_origin

    tile = make_tile(seed, CanopyConfig(size=size, biome=biome))
    profile = {
        "driver": "GTiff", "count": 3, "dtype": "uint8", "height": size[0], "width": size[1], "crs": "EPSG:32611",
        "transform": from_origin(320000.0, 4096000.0, 0.1, 0.1), "compress": "deflate", "predictor": 2,
        "photometric": "RGB",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(tile.image)
    return tile


def fractal_noise(rng: np.random.Generator, size: tuple[int, int], exponent: float, finest: float = 0.0) -> Floats:
    """Periodic noise H W of zero mean and unit variance with amplitude spectrum `f ** -exponent`; wavelengths below
    `finest` pixels are removed."""
    white = rng.standard_normal(size, dtype=np.float32)
    fy, fx = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    radius = np.hypot(fy, fx)
    radius[0, 0] = np.inf  # no mean
    gain = radius**-exponent
    if finest > 0:
        gain = gain * np.exp(-0.5 * (radius * finest) ** 2)
    field = np.fft.irfft2(np.fft.rfft2(white) * gain, s=size)
    return np.asarray(field / max(float(field.std()), 1e-9), np.float32)


def _linear(colour: tuple[int, int, int]) -> Floats:
    return np.asarray((np.asarray(colour) / 255.0) ** 2.2, np.float32)


def _ground(rng: np.random.Generator, config: CanopyConfig) -> _Scene:
    """Materials by thresholded noise, a fine grain, and gentle relief."""
    size = config.size
    picks = rng.choice(len(_GROUND), size=3, replace=False)
    albedo = np.broadcast_to(_linear(_GROUND[picks[0]]), (*size, 3)).copy()
    for pick in picks[1:]:
        field = fractal_noise(rng, size, rng.uniform(1.2, 1.8), finest=rng.uniform(2, 12))
        share = 1 / (1 + np.exp(-(field - rng.normal(0.4, 0.8)) * rng.uniform(2, 12)))  # H W
        albedo += share[..., None] * (_linear(_GROUND[pick]) - albedo)
    grain = fractal_noise(rng, size, rng.uniform(0.2, 0.9)) * rng.uniform(0.04, 0.16)
    albedo *= np.exp(grain)[..., None]
    relief = fractal_noise(rng, size, 2.0) * rng.uniform(0.0, 0.3) + fractal_noise(rng, size, 1.0, 4.0) * 0.02
    return _Scene(relief.astype(np.float32), albedo, np.zeros(size, np.int32), config.gsd)


def _litter(rng: np.random.Generator, scene: _Scene) -> None:
    """Logs, stones, tufts, tracks and roofs: things that are no trees."""
    rows, columns = scene.owner.shape
    hectares = rows * columns * scene.gsd**2 / 1e4
    for _ in range(rng.poisson(rng.choice([0, 60, 250]) * hectares)):  # logs
        length, width = rng.uniform(1.5, 14), rng.uniform(0.12, 0.5)
        _slab(rng, scene, (length, width), width * 0.8, _linear((214, 196, 178)) * rng.uniform(0.5, 1.1))
    for _ in range(rng.poisson(rng.choice([0, 100, 500]) * hectares)):  # stones
        side = rng.lognormal(-0.6, 0.6)
        _slab(
            rng, scene, (side, side * rng.uniform(0.5, 1)), side * 0.4, _linear((206, 196, 186)) * rng.uniform(0.6, 1.2)
        )
    for _ in range(rng.poisson(rng.choice([0, 200, 900]) * hectares)):  # tufts and low shrubs
        side = rng.uniform(0.2, 0.9)
        green = _linear((128, 132, 84)) * rng.uniform(0.5, 1.1)
        _slab(rng, scene, (side, side * rng.uniform(0.6, 1)), side * 0.35, green, ragged=0.8)
    if rng.random() < 0.12:  # a track
        _slab(
            rng, scene, (600.0, rng.uniform(2, 6)), 0.0, _linear((172, 162, 148)) * rng.uniform(0.4, 1.1), ragged=0.15
        )
    if rng.random() < 0.12:  # roofs
        for _ in range(rng.integers(1, 4)):
            _slab(
                rng,
                scene,
                (rng.uniform(5, 14), rng.uniform(4, 9)),
                rng.uniform(3, 6),
                rng.uniform(0.1, 0.7, 3).astype(np.float32),
                ragged=0.0,
            )


def _slab(
    rng: np.random.Generator, scene: _Scene, sides: tuple[float, float], top: float, colour: Floats, ragged: float = 0.3
) -> None:
    """An ellipse-ended bar or a box (`ragged` 0) of `sides` metres, `top` metres high, at a random place and angle."""
    rows, columns = scene.owner.shape
    centre = rng.uniform(0, rows), rng.uniform(0, columns)
    reach = int(np.ceil(np.hypot(*sides) / 2 / scene.gsd)) + 1
    window = _window(centre, reach, scene.owner.shape)
    y, x = np.ogrid[window]
    y, x = (y + 0.5 - centre[0]) * scene.gsd, (x + 0.5 - centre[1]) * scene.gsd
    angle = rng.uniform(0, np.pi)
    along = np.abs(x * np.cos(angle) + y * np.sin(angle)) / (sides[0] / 2)
    across = np.abs(y * np.cos(angle) - x * np.sin(angle)) / (sides[1] / 2)
    rough = rng.standard_normal(along.shape, dtype=np.float32) * (ragged * 0.5)
    inside = np.maximum(along, across) < 1 if ragged == 0 else along**4 + across**2 + rough < 1
    grain = np.exp(rng.standard_normal(inside.shape, dtype=np.float32) * (0.05 + 0.1 * ragged))
    scene.albedo[window] = np.where(inside[..., None], colour * grain[..., None], scene.albedo[window])
    scene.height[window] += np.where(inside, top, 0).astype(np.float32)


def _window(centre: tuple[float, float], reach: int, size: tuple[int, ...]) -> tuple[slice, slice]:
    row, column = int(centre[0]), int(centre[1])
    return (
        slice(min(max(row - reach, 0), size[0]), max(min(row + reach + 1, size[0]), 0)),
        slice(min(max(column - reach, 0), size[1]), max(min(column + reach + 1, size[1]), 0)),
    )


def _places(rng: np.random.Generator, config: CanopyConfig, biome: Biome) -> Floats:
    """Rows `y x radius` in metres, largest first, hard-core distances; crowns may stand across the border."""
    tall, wide = config.size[0] * config.gsd, config.size[1] * config.gsd
    cover = rng.uniform(*_COVER[biome]) if config.cover is None else config.cover
    median, spread = _RADIUS[biome]
    median *= float(np.exp(rng.normal(0, 0.2)))
    margin = 3.0
    wanted = cover * (tall + 2 * margin) * (wide + 2 * margin)
    darts = int(np.ceil(wanted / (np.pi * median**2))) * 12 + 12
    radius = np.sort(np.clip(rng.lognormal(np.log(median), spread, darts // 12), 0.6, 7.5))[::-1]
    spots = rng.uniform((-margin, -margin), (tall + margin, wide + margin), (len(radius), 12, 2))
    kept = np.zeros((0, 3))
    for r, tries in zip(radius, spots, strict=True):  # up to 12 darts for each crown
        gap = np.hypot(tries[:, None, 0] - kept[:, 0], tries[:, None, 1] - kept[:, 1]) / (r + kept[:, 2])  # 12 n
        free = np.flatnonzero((gap > _OVERLAP[biome]).all(axis=1))
        if len(free):
            kept = np.vstack([kept, (*tries[free[0]], r)])
    return kept.astype(np.float32)


def _plant(
    rng: np.random.Generator, scene: _Scene, biome: Biome, config: CanopyConfig
) -> list[tuple[int, tuple[float, float, float, float]]]:
    """Raise all crowns; returns (pixels inside the own outline, box of the outline) of each."""
    size = scene.owner.shape
    clumps = fractal_noise(rng, (256, 256), 1.1, finest=0.25 / scene.gsd)
    leaves = fractal_noise(rng, (256, 256), 0.3)
    tone = float(np.exp(rng.normal(0, 0.15)))
    outlines = []
    for number, (y, x, radius) in enumerate(_places(rng, config, biome), start=1):
        centre = (float(y) / scene.gsd, float(x) / scene.gsd)
        window = _window(centre, int(np.ceil(radius * 1.7 / scene.gsd)), size)
        shift = tuple(int(s) for s in rng.integers(0, 256, 2))
        patch = (np.arange(size[0])[window[0]] + shift[0]) % 256, (np.arange(size[1])[window[1]] + shift[1]) % 256
        inside, surface = _crown(rng, window, centre, float(radius), scene.gsd, biome, clumps[np.ix_(*patch)])
        outlines.append(_outline(inside, window))
        seen = inside & (surface > scene.height[window])
        colour = _linear(_LEAVES[biome][int(rng.integers(len(_LEAVES[biome])))]) * tone * np.exp(rng.normal(0, 0.07, 3))
        mottle = np.exp(
            leaves[np.ix_(*patch)] * rng.uniform(0.12, 0.35) + clumps[np.ix_(*patch)] * rng.uniform(0, 0.15)
        )
        scene.height[window] = np.where(seen, surface, scene.height[window])
        scene.owner[window] = np.where(seen, number, scene.owner[window])
        scene.albedo[window] = np.where(seen[..., None], colour * mottle[..., None], scene.albedo[window])
    return outlines


def _crown(
    rng: np.random.Generator, window: tuple[slice, slice], centre: tuple[float, float], radius: float, gsd: float,
    biome: Biome, clumps: Floats,
) -> tuple[NDArray[np.bool_], Floats]:  # fmt: skip
    """Mask of the crown in its window and its surface in metres above the ground."""
    y, x = np.ogrid[window]
    y, x = (y + 0.5 - centre[0]) * gsd, (x + 0.5 - centre[1]) * gsd
    angle = np.arctan2(y, x)
    edge = np.full(angle.shape, radius)
    for order in range(2, 7):
        edge *= 1 + rng.normal(0, 0.11 / np.sqrt(order)) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    u = np.hypot(y, x) / edge + clumps * rng.uniform(0.04, 0.14)
    form = int(rng.choice(3, p=_FORMS[biome]))
    if form == 0:  # branches show as lobes around a cone
        lobes = int(rng.integers(7, 16))
        u = u * (1 + rng.uniform(0.02, 0.12) * np.cos(lobes * angle + rng.uniform(0, 6) + 1.5 * clumps))
    inside = u < 1
    if rng.random() < 0.2:  # thin crowns let the ground through
        inside &= clumps + rng.standard_normal(clumps.shape, dtype=np.float32) < rng.uniform(0.8, 2.2)
    fall = (np.clip(u, 0, 1), np.clip(u, 0, 1) ** 2, np.clip(u, 0, 1) ** 4)[form]
    top = 3 + radius * rng.uniform(1.2, 2.6) * (1.4 if form == 0 else 1.0)
    depth = radius * (rng.uniform(1.4, 2.6), rng.uniform(0.8, 1.4), rng.uniform(0.5, 0.9))[form]
    return inside, np.asarray(top - depth * fall + clumps * rng.uniform(0.1, 0.3) * np.sqrt(radius), np.float32)


def _outline(inside: NDArray[np.bool_], window: tuple[slice, slice]) -> tuple[int, tuple[float, float, float, float]]:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return 0, (0.0, 0.0, 0.0, 0.0)
    top, left = window[0].start, window[1].start
    box = (left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1)
    return int(inside.sum()), tuple(float(v) for v in box)  # type: ignore[return-value]  # four values by construction


def _boxes(
    owner: NDArray[np.int32], outlines: list[tuple[int, tuple[float, float, float, float]]]
) -> tuple[Floats, NDArray[np.int32]]:
    """Boxes of the crowns of which enough is seen, and the owner map renumbered to them."""
    seen = np.bincount(owner.ravel(), minlength=len(outlines) + 1)[1:]
    pixels = np.array([count for count, _ in outlines], np.int64)
    all_boxes = np.array([box for _, box in outlines], np.float32).reshape(-1, 4)
    sides = (all_boxes[:, 2:] - all_boxes[:, :2]).min(axis=1, initial=np.inf)
    chosen = (pixels > 0) & (seen >= _VISIBLE * pixels) & (sides >= 6)  # slivers at the border carry no box
    number = np.zeros(len(outlines) + 1, np.int32)
    number[1:][chosen] = np.arange(1, chosen.sum() + 1)
    return all_boxes[chosen], number[owner]


def _light(rng: np.random.Generator, scene: _Scene) -> Floats:
    """Irradiance H W, 1 on flat open ground: sun by Lambert's law where no ray is blocked, and sky light."""
    from scipy.ndimage import gaussian_filter

    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(35, 66))
    toward = np.array([np.sin(azimuth), np.cos(azimuth)])  # rows, columns: towards the sun
    smooth = gaussian_filter(scene.height, 0.7)
    slope_y, slope_x = np.gradient(smooth, scene.gsd)
    facing = np.sin(elevation) - (slope_y * toward[0] + slope_x * toward[1]) * np.cos(elevation)
    lambert = np.maximum(facing, 0) / np.sqrt(1 + slope_y**2 + slope_x**2)
    lit = 1 - gaussian_filter(_shadow(smooth, toward, np.tan(elevation) * scene.gsd).astype(np.float32), 0.8)
    hollow = gaussian_filter(smooth, 1.2 / scene.gsd) - smooth
    sky = 1 / (1 + np.maximum(hollow, 0) * rng.uniform(0.1, 0.4))
    share = rng.uniform(0.12, 0.4)  # of the sky in the light on open ground
    return np.asarray((1 - share) * lit * lambert / np.sin(elevation) + share * sky, np.float32)


def _shadow(height: Floats, toward: NDArray[np.float64], drop: float) -> NDArray[np.bool_]:
    """True where the ray to the sun is blocked; `drop` metres of ray height for each pixel of distance."""
    from scipy.ndimage import shift

    blocked, distance = np.full_like(height, -np.inf), 1.0
    longest = float(np.ptp(height)) / max(drop, 1e-6)
    running = height
    while distance <= longest + 1:
        moved = shift(running, -toward * distance, order=0, mode="nearest") - np.float32(drop * distance)
        blocked = np.maximum(blocked, moved)
        running = np.maximum(running, moved)
        distance *= 2
    return np.asarray(blocked > height + 0.15)


def _photograph(rng: np.random.Generator, scene: _Scene, light: Floats) -> NDArray[np.uint8]:
    """Exposure, colour cast (blue in the shade), blur, noise and gamma; H W -> 3 H W."""
    from scipy.ndimage import gaussian_filter

    shade = np.clip(1 - light, 0, 1)[..., None] * np.array([-0.1, 0.0, 0.25], np.float32) * rng.uniform(0, 1)
    image = scene.albedo * light[..., None] * (1 + shade) * np.exp(rng.normal(0, 0.05, 3))  # H W 3
    image = image * np.exp(rng.normal(0.3, 0.22)) + rng.uniform(0.0, 0.02)  # haze
    image = gaussian_filter(image, (rng.uniform(0.3, 0.8),) * 2 + (0,))
    image += (
        rng.standard_normal(image.shape, dtype=np.float32) * np.sqrt(np.maximum(image, 0)) * rng.uniform(0.005, 0.03)
    )
    coded = np.clip(image, 0, 1) ** (1 / rng.uniform(1.9, 2.5)) * 255
    return np.ascontiguousarray(np.rint(coded).astype(np.uint8).transpose(2, 0, 1))  # H W 3 -> 3 H W
