"""Fixtures of the tree-crown training tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rs_train_tiles", Path(__file__).with_name("tiles.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiles of each of two sites."""
    folder: Path = _load().write_tiles(tmp_path_factory.mktemp("tiles"), {"AAAA": 2, "BBBB": 2})
    return folder


@pytest.fixture
def write_tile() -> Callable[..., None]:
    """`write_tile(folder, name, image, boxes)`."""
    function: Callable[..., None] = _load().write_tile
    return function
