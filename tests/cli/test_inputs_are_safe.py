"""No output may replace an input, whatever its name leads through, and `--overwrite` is no leave to do it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fakes import discs, volume_network
from fakes.scans import affine
from vitapps.apps.main import main

Arrange = Callable[[Path, Path], list[str]]  # (input, another input) -> the words of the outputs


def scan(path: Path) -> Path:
    nib.save(nib.Nifti1Image(volume_network.phantom()[0], affine((2, 2, 2), 15)), path)
    return path


def tile(path: Path) -> Path:
    return discs.write(path, discs.draw((64, 64), [(30.0, 30.0, 8.0)]), driver="GPKG", crs="EPSG:3857")


def by_name(source: Path, other: Path) -> list[str]:
    return ["-o", str(source)]


def by_another_spelling(source: Path, other: Path) -> list[str]:
    return ["-o", f"{source.parent}/../{source.parent.name}/{source.name}"]


def by_link(source: Path, other: Path) -> list[str]:
    link = source.with_name(f"link_{source.name}")
    link.symlink_to(source)
    return ["-o", str(link)]


def by_hard_link(source: Path, other: Path) -> list[str]:
    link = source.with_name(f"hard_{source.name}")
    os.link(source, link)
    return ["-o", str(link)]


def by_linked_folder(source: Path, other: Path) -> list[str]:
    folder = source.parent.with_name("shortcut")
    folder.symlink_to(source.parent)
    return ["-o", str(folder / source.name)]


def by_preview(source: Path, other: Path) -> list[str]:
    out = source.with_name(f"seg{source.name}")
    out.with_name(f"{out.name}.preview.png").symlink_to(source)
    return ["-o", str(out), "--preview"]


WAYS = [by_name, by_another_spelling, by_link, by_hard_link, by_linked_folder, by_preview]
DOMAINS = {"medical": ("segment", "scan.nii.gz", scan, volume_network), "rs": ("detect", "tile.gpkg", tile, discs)}


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return request.param, str(DOMAINS[request.param][3].write_graph_card(tmp_path_factory.mktemp("card")))


def refused(words: list[str], sources: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    before = {source: source.read_bytes() for source in sources}
    names = sorted(item.name for item in sources[0].parent.iterdir())
    code = main(words)
    shown = capfd.readouterr()
    assert code == 5, shown
    assert "which is never replaced" in shown.err
    assert {source: source.read_bytes() for source in sources} == before
    assert sorted(item.name for item in sources[0].parent.iterdir()) == names


@pytest.mark.parametrize("way", WAYS)
def test_an_input_is_never_replaced(
    way: Arrange, domain: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, weights = domain
    verb, file, make, _ = DOMAINS[name]
    (tmp_path / "in").mkdir()
    source = make(tmp_path / "in" / file)
    refused([name, verb, str(source), *way(source, source), "--overwrite", "-w", weights], [source], capfd)


def test_neither_is_another_of_several(
    domain: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The default output of the first is the second."""
    name, weights = domain
    verb, file, make, _ = DOMAINS[name]
    default = {"medical": "scan_seg.nii.gz", "rs": "tile_detections.gpkg"}[name]
    sources = [make(tmp_path / file), make(tmp_path / default)]
    before = [source.read_bytes() for source in sources]
    code = main([name, verb, *map(str, sources), "--overwrite", "-w", weights])
    assert code == 6, "the first fails, the second is done"
    assert "which is never replaced" in capfd.readouterr().err
    assert [source.read_bytes() for source in sources] == before


def test_the_tables_of_medical(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, volumes = scan(tmp_path / "scan.nii.gz"), tmp_path / "volumes.csv"
    volumes.symlink_to(source)
    words = ["medical", "segment", str(source), "-o", str(tmp_path / "seg.nii.gz"), "--volumes", str(volumes)]
    refused([*words, "--overwrite"], [source], capfd)
    labels = tmp_path / "labels.nii.gz"
    nib.save(nib.Nifti1Image(volume_network.phantom()[1].astype(np.uint8), affine((2, 2, 2), 15)), labels)
    table = tmp_path / "scores.csv"
    table.symlink_to(labels)
    refused(
        ["medical", "eval", str(labels), str(labels), "--csv", str(table), "--overwrite"], [labels], capfd
    )  # fmt: skip


def test_the_polygons_of_rs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, polygons = tile(tmp_path / "tile.gpkg"), tmp_path / "aoi.geojson"
    polygons.write_text("{}")
    words = ["rs", "detect", str(source), "-o", str(polygons), "--aoi", str(polygons), "--overwrite"]
    refused(words, [source, polygons], capfd)


def test_a_slice_of_a_series_is_an_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    series = tmp_path / "series"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"precious")
    refused(
        ["medical", "segment", str(series), "-o", str(series / "1.dcm"), "--overwrite"], [series / "1.dcm"], capfd
    )  # fmt: skip
