"""A folder of tiny NEON-like tiles, rendered from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from vitapps.datasets.synth.canopy import CanopyConfig, make_tile


def write_tile(folder: Path, name: str, image: np.ndarray, boxes: np.ndarray) -> None:
    """`name.tif` and `name.xml` of an image 3 H W and boxes n 4."""
    profile = {
        "driver": "GTiff", "count": len(image), "dtype": image.dtype.name, "height": image.shape[1],
        "width": image.shape[2], "crs": "EPSG:32611", "transform": from_origin(320000, 4096000, 0.1, 0.1),
    }  # fmt: skip
    with rasterio.open(folder / f"{name}.tif", "w", **profile) as sink:
        sink.write(image)
    keys = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>Tree</name><bndbox>"
        + "".join(f"<{key}>{value:g}</{key}>" for key, value in zip(keys, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    (folder / f"{name}.xml").write_text(f"<annotation><filename>{name}.tif</filename>{objects}</annotation>")


def write_tiles(folder: Path, sites: dict[str, int], size: int = 160) -> Path:
    """`sites` maps a site to its number of tiles."""
    folder.mkdir(parents=True, exist_ok=True)
    seed = 0
    for site, number in sites.items():
        for place in range(number):
            tile = make_tile(seed, CanopyConfig(size=(size, size), biome="park", cover=0.4))
            write_tile(folder, f"{site}_{place:03d}", tile.image, tile.boxes)
            seed += 1
    return folder
