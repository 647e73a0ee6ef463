"""Bad rasters: GeoTIFFs with one thing changed, pictures that lie about their size, virtual rasters of nothing."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine, from_origin

from fakes.bad_files import bad, noise, write

SIZE = 64
GRID = from_origin(500_000, 4_100_000, 0.1, 0.1)


def geotiff(folder: Path, name: str, values: np.ndarray | None = None, **profile: Any) -> Path:
    """A small GeoTIFF in UTM; `profile` overrides rasterio's."""
    array = np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE), np.uint8) if values is None else values
    bands, height, width = array.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": array.dtype}
    settings = {"driver": "GTiff", "crs": "EPSG:32611", "transform": GRID, **shape, **profile}
    with rasterio.open(folder / name, "w", **settings) as target:
        target.write(array)
    return folder / name


@bad("tiff cut in its header")
def _cut_header(folder: Path) -> Path:
    path = geotiff(folder, "cut_header.tif")
    return write(folder, path.name, path.read_bytes()[:60])


@bad("tiff cut in its data")
def _cut_data(folder: Path) -> Path:
    path = geotiff(folder, "cut_data.tif")
    return write(folder, path.name, path.read_bytes()[:-6000])


@bad("compressed tiff with noise inside")
def _corrupt(folder: Path) -> Path:
    path = geotiff(folder, "corrupt.tif", compress="deflate")
    content = path.read_bytes()
    return write(folder, path.name, content[:3000] + noise(2000) + content[5000:])


def tiff(entries: dict[int, tuple[int, int, int]]) -> bytes:
    """A TIFF of one directory: tag -> (field type, count, value or offset)."""
    body = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(4)


def tiff_of(width: int, height: int, strip: int = 200, bits: int = 8) -> bytes:
    long, short = 4, 3
    return tiff(
        {
            256: (long, 1, width),
            257: (long, 1, height),
            258: (short, 1, bits),
            259: (short, 1, 1),
            262: (short, 1, 1),
            273: (long, 1, strip),
            277: (short, 1, 1),
            278: (long, 1, height),
            279: (long, 1, width * height % (1 << 32)),
        }
    )


TIFFS = {
    "of no width": tiff_of(0, 64),
    "of enormous size": tiff_of(2_000_000_000, 2_000_000_000),
    "of one enormous strip": tiff_of(300_000, 14_000),
    "with strips beyond the file": tiff_of(64, 64, strip=4_000_000_000),
    "of seven bits": tiff_of(64, 64, bits=7),
    "without entries": tiff({}),
    "with its directory beyond the file": b"II*\0" + struct.pack("<I", 1 << 31) + bytes(100),
    "with its directory in itself": b"II*\0" + struct.pack("<I", 4) + bytes(100),
    "big, with its directory beyond the file": b"II+\0\x08\0\0\0" + struct.pack("<Q", 1 << 60) + bytes(100),
    "big, header cut": b"II+\0\x08\0",
}
for _name, _bytes in TIFFS.items():
    _file = f"{_name.replace(' ', '_').replace(',', '')}.tif"
    bad(f"tiff {_name}", rs=(3, 7))(lambda folder, file=_file, content=_bytes: write(folder, file, content))


@bad("raster without a reference system", rs=(0, 3))
def _no_crs(folder: Path) -> Path:
    return geotiff(folder, "no_crs.tif", crs=None)


@bad("raster without a place", rs=(0, 3))
def _no_place(folder: Path) -> Path:
    return geotiff(folder, "no_place.tif", crs=None, transform=None)


@bad("raster of nodata only", rs=(0, 3))
def _nodata(folder: Path) -> Path:
    return geotiff(folder, "nodata.tif", np.zeros((3, SIZE, SIZE), np.uint8), nodata=0)


@bad("raster of not-a-number only", rs=(0, 3))
def _nan(folder: Path) -> Path:
    return geotiff(folder, "nan.tif", np.full((3, SIZE, SIZE), np.nan, np.float32))


@bad("raster of infinity only", rs=(0, 3))
def _infinite(folder: Path) -> Path:
    return geotiff(folder, "infinite.tif", np.full((3, SIZE, SIZE), np.inf, np.float32))


@bad("raster wholly transparent", rs=(0, 3))
def _transparent(folder: Path) -> Path:
    array = np.random.default_rng(0).integers(1, 255, (4, SIZE, SIZE), np.uint8)
    array[3] = 0
    return geotiff(folder, "transparent.tif", array, photometric="RGB", alpha="YES")


@bad("raster of one pixel", rs=(0, 3))
def _pixel(folder: Path) -> Path:
    return geotiff(folder, "pixel.tif", np.ones((3, 1, 1), np.uint8))


@bad("raster of complex numbers", rs=(0, 3))
def _complex(folder: Path) -> Path:
    return geotiff(folder, "complex.tif", np.ones((3, SIZE, SIZE), np.complex64))


@bad("raster with a singular grid", rs=(0, 3))
def _singular(folder: Path) -> Path:
    return geotiff(folder, "singular.tif", transform=Affine(0, 0, 5e5, 0, 0, 4e6))


@bad("raster with a grid that is no number", rs=(0, 3))
def _nan_grid(folder: Path) -> Path:
    return geotiff(folder, "nan_grid.tif", transform=Affine(float("nan"), 0, 5e5, 0, float("nan"), 4e6))


@bad("raster of 30 km pixels", rs=(0, 3))
def _coarse(folder: Path) -> Path:
    return geotiff(folder, "coarse.tif", transform=from_origin(0, 0, 30_000, 30_000))


@bad("raster of atom-sized pixels", rs=(0, 3))
def _fine(folder: Path) -> Path:
    return geotiff(folder, "fine.tif", transform=from_origin(0, 0, 1e-10, 1e-10))


@bad("raster in an invented reference system", rs=(0, 3))
def _invented(folder: Path) -> Path:
    return geotiff(folder, "invented.tif", crs='LOCAL_CS["site grid",UNIT["metre",1]]')


def virtual(folder: Path, name: str, body: str, size: int = SIZE) -> Path:
    text = f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}">{body}</VRTDataset>'
    return write(folder, name, text.encode())


def band_of(source: str) -> str:
    simple = f'<SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename></SimpleSource>'
    return f'<VRTRasterBand dataType="Byte" band="1">{simple}</VRTRasterBand>'


@bad("virtual raster without bands")
def _no_bands(folder: Path) -> Path:
    return virtual(folder, "no_bands.vrt", "")


@bad("virtual raster of a missing file", named="missing_source.vrt")
def _missing_source(folder: Path) -> Path:
    return virtual(folder, "missing_source.vrt", band_of(str(folder / "gone.tif")))


@bad("virtual raster of itself")
def _recursive(folder: Path) -> Path:
    return virtual(folder, "recursive.vrt", band_of(str(folder / "recursive.vrt")))


@bad("virtual raster of an address", named="remote.vrt")
def _remote(folder: Path) -> Path:
    return virtual(folder, "remote.vrt", band_of("/vsicurl/http://127.0.0.1:9/tile.tif"))


@bad("virtual raster of no XML")
def _no_xml(folder: Path) -> Path:
    return write(folder, "broken.vrt", b"<VRTDataset rasterXSize=")


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


PICTURES = {
    "bomb.png": png(2_000_000_000, 2_000_000_000, bytes(1000)),
    "large.png": png(60_000, 60_000, bytes(1000)),
    "no_width.png": png(0, 10),
    "short.png": png(64, 64, bytes(1000)),
    "cut.png": png(64, 64, bytes(64 * 193))[:60],
    "picture_named.tif": png(0, 0),
    "cut.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0",
    "header.bmp": b"BM" + struct.pack("<IHHIIiiHHI", 100, 0, 0, 54, 40, 2_000_000_000, 2_000_000_000, 1, 24, 0),
    "cut.jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "archive.tif": b"PK\3\4" + noise(300),
    "table.csv": b"x,y\n1,2\n",
    "points.geojson": json.dumps({"type": "FeatureCollection", "features": []}).encode(),
}
for _file, _bytes in PICTURES.items():
    _codes = (0, 3) if _file == "short.png" else (3, 7)  # GDAL fills what a PNG's stream lacks, and says nothing
    bad(f"picture {_file}", rs=_codes)(lambda folder, file=_file, content=_bytes: write(folder, file, content))
