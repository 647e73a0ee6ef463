"""A large aerial raster through `vitapps rs detect`: megapixels a second and peak memory.

    python benchmarks/raster.py [--weights CARD] [--size 10000] [--threads 2] [--thorough] [--out FILE]

The raster is a rendered canopy tile of 1000 x 1000 px at 0.1 m, repeated with a shift of brightness, in an RGB GeoTIFF
(deflate, blocks of 512). Bars, for 10,000 x 10,000 px on two quiet cores: 1 Mpx/s over the whole command, 1.5 GB.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from measure import arguments, report, run, verdict, vitapps
from measure import python as interpreter

MAKE = """
import sys
import numpy as np, rasterio
from rasterio.transform import from_origin
from vitapps.datasets.synth.canopy import CanopyConfig, make_tile
side, size = 1000, int(sys.argv[2])
tile = make_tile(0, CanopyConfig(size=(side, side))).image
with rasterio.open(sys.argv[1], "w", driver="GTiff", count=3, width=size, height=size, dtype="uint8", crs="EPSG:32611",
                   transform=from_origin(320000, 4096000, 0.1, 0.1), compress="deflate", zlevel=1, tiled=True,
                   blockxsize=512, blockysize=512, photometric="RGB", bigtiff="IF_SAFER") as sink:
    for top in range(0, size, side):
        for left in range(0, size, side):
            deep, wide = min(side, size - top), min(side, size - left)
            part = np.clip(tile[:, :deep, :wide].astype(np.int16) + (top + left) // side % 17 - 8, 0, 255)
            sink.write(part.astype(np.uint8), window=((top, top + deep), (left, left + wide)))
"""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--weights", default="trees-neon")
    parser.add_argument("--size", type=int, default=10_000, help="pixels a side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--thorough", action="store_true", help="at three scales")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        raster, out = Path(name) / "raster.tif", Path(name) / "trees.gpkg"
        run(interpreter(MAKE, raster, options.size))
        used = run(vitapps("rs", "detect", raster, "-o", out, "-w", options.weights, "--device", "cpu", "--quiet",
                           "--threads", options.threads, "--precision", options.precision,
                           *["--thorough"] * options.thorough))  # fmt: skip
        record = json.loads(out.with_name(f"{out.name}.run.json").read_text(encoding="utf-8"))
    megapixels = options.size**2 / 1e6
    rows = [(stage, f"{seconds:.2f}", "", "", "") for stage, seconds in record["timings"].items()]
    rows.append(("whole command", f"{used.wall:.2f}", f"{used.cpu:.2f}", f"{megapixels / used.wall:.2f}",
                 f"{used.rss / 1e6:.0f}"))  # fmt: skip
    notes = [
        f"{record['results']['count']} boxes; engine {record['engine']}, precision {record['precision']}, "
        f"{record['threads']} threads, weights {', '.join(record['weights'])}",
        f"{used.cpu / megapixels:.2f} CPU s per megapixel",
        verdict("speed", megapixels / used.wall, 1, " Mpx/s", at_least=True),
        verdict("peak memory", used.rss / 1e9, 1.5, " GB"),
    ]
    title = f"rs detect{' --thorough' * options.thorough} over {options.size} x {options.size} px"
    report(title, ("", "wall s", "CPU s", "Mpx/s", "peak MB"), rows, notes, options.out)


if __name__ == "__main__":
    main()
