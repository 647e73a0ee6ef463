"""NEON tree crowns in the DeepForest layout: `SITE_NNN.tif` (RGB, 0.1 m) beside `SITE_NNN.xml` (Pascal VOC boxes).

Weinstein et al. 2019, Remote Sensing 11(11) 1309. The part of a name before the first underscore is the NEON site;
splits go by site (`leave_out`), because tiles of one site share species, season and camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from vitapps.errors import UnreadableInputError, UsageError
from vitapps.require import require

_LARGEST_XML = 16 << 20  # bytes; a tile of 10,000 boxes has about 3 MB


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """`image` 3 H W uint8 RGB; `boxes` n 4 float32, `x0 y0 x1 y1` in pixels, pixel-corner origin; `gsd` metres."""

    name: str
    site: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    gsd: float


def read_tiles(folder: Path, sites: Sequence[str] = ()) -> list[Tile]:
    """Every annotated tile of `folder` (of `sites` only, when given), by name.

    Raises UnreadableInputError for a folder without tiles or a broken tile, UsageError for a site that is not there.
    """
    found = sorted(path for path in folder.glob("*.tif") if path.with_suffix(".xml").exists())
    if not found:
        raise UnreadableInputError(f"{folder}: no tile with boxes (NAME.tif beside NAME.xml)", hint="check --data")
    present = sorted({_site(path) for path in found})
    unknown = sorted(set(sites) - set(present))
    if unknown:
        raise UsageError(
            f"no tiles of site {', '.join(unknown)} in {folder}", hint=f"sites there: {', '.join(present)}"
        )
    return [_read(path) for path in found if not sites or _site(path) in sites]


def leave_out(tiles: Sequence[Tile], site: str) -> tuple[list[Tile], list[Tile]]:
    """(tiles of the other sites, tiles of `site`); raises UsageError when either side would be empty."""
    rest = [tile for tile in tiles if tile.site != site]
    test = [tile for tile in tiles if tile.site == site]
    if not rest or not test:
        raise UsageError(f"cannot leave out site {site!r}", hint=f"sites there: {', '.join(sites_of(tiles))}")
    return rest, test


def hold_out(tiles: Sequence[Tile], every: int = 7) -> tuple[list[Tile], list[Tile]]:
    """(tiles to fit on, tiles to choose thresholds on): each site with two gives one tile in `every`, or one."""
    held: set[str] = set()
    for site in sites_of(tiles):
        names = [tile.name for tile in tiles if tile.site == site]
        held.update(names[every // 2 :: every] or names[1:2])
    return [tile for tile in tiles if tile.name not in held], [tile for tile in tiles if tile.name in held]


def sites_of(tiles: Sequence[Tile]) -> list[str]:
    """The sites of `tiles`, sorted."""
    return sorted({tile.site for tile in tiles})


def _site(path: Path) -> str:
    return path.stem.split("_")[0]


def _read(path: Path) -> Tile:
    rasterio = require("rasterio", extra="rs")
    try:
        with rasterio.open(path) as source:
            if source.count < 3:
                raise UnreadableInputError(f"{path}: {source.count} band(s), RGB expected", hint="give a 3-band tile")
            image = source.read((1, 2, 3))
            gsd = float(abs(source.transform.a))
    except rasterio.errors.RasterioIOError as error:
        raise UnreadableInputError(f"{path}: not a readable raster ({error})", hint="fetch the tile again") from error
    if image.dtype != np.uint8:
        raise UnreadableInputError(f"{path}: {image.dtype} samples, uint8 expected", hint="convert the tile to 8 bit")
    return Tile(name=path.stem, site=_site(path), image=image, boxes=read_voc(path.with_suffix(".xml")), gsd=gsd)


def read_voc(path: Path) -> NDArray[np.float32]:
    """Boxes `n 4` of a Pascal-VOC file, as written; raises UnreadableInputError when it is broken or a box is empty."""
    text = path.read_bytes()
    if len(text) > _LARGEST_XML or b"<!DOCTYPE" in text:  # entity bombs need a document type
        raise UnreadableInputError(f"{path}: too large or with a DOCTYPE", hint="give a plain Pascal-VOC file")
    try:
        objects = list(ElementTree.fromstring(text).iter("object"))
        rows = [[float(item.findtext(f"bndbox/{key}", "")) for key in _KEYS] for item in objects]
    except (ElementTree.ParseError, ValueError) as error:
        raise UnreadableInputError(f"{path}: not a Pascal-VOC file ({error})", hint="fetch the tile again") from error
    boxes = np.asarray(rows, np.float32).reshape(-1, 4)
    if not ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).all():
        raise UnreadableInputError(f"{path}: a box without area", hint="correct xmin < xmax and ymin < ymax")
    return boxes


_KEYS = ("xmin", "ymin", "xmax", "ymax")
