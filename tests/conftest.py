"""No test reads or fills the cache of whoever runs it."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("VITAPPS_CACHE")
    os.environ["VITAPPS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("VITAPPS_CACHE")
    if before is not None:
        os.environ["VITAPPS_CACHE"] = before
