"""The vector formats that boxes can be written in, and which one an output name means."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from vitapps.errors import UsageError

VectorFormat = Literal["gpkg", "geojson", "coco", "shp", "csv"]
SUFFIXES: dict[VectorFormat, str] = {
    "gpkg": ".gpkg", "geojson": ".geojson", "coco": ".json", "shp": ".shp", "csv": ".csv"
}  # fmt: skip
COMPANIONS = (".shx", ".dbf", ".prj", ".cpg")  # what a Shapefile brings along


def choose_format(out: Path | None, wanted: VectorFormat | None) -> VectorFormat:
    """`wanted`, else the format of the suffix of `out`, else GeoPackage; raises UsageError when they disagree."""
    if out is None or (wanted and not out.suffix):
        return wanted or "gpkg"
    by_suffix = {suffix: name for name, suffix in SUFFIXES.items()}.get(out.suffix.lower())
    if by_suffix is None and wanted is None:
        raise UsageError(
            f"{out}: {'no format has the suffix ' + out.suffix if out.suffix else 'no suffix tells the format'}",
            hint=f"use {', '.join(SUFFIXES.values())}, or --format {'|'.join(get_args(VectorFormat))}",
        )
    if wanted in ("gpkg", "shp") and by_suffix != wanted:
        raise UsageError(f"{out}: --format {wanted} needs the suffix {SUFFIXES[wanted]}", hint="rename the output")
    return wanted or by_suffix or "gpkg"
