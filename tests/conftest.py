"""Without a GPU, kernels run in Triton's interpreter (set before triton is imported); tests have their own cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True, scope="session")
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("VITAPPS_CACHE")
    os.environ["VITAPPS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("VITAPPS_CACHE")
    if before is not None:
        os.environ["VITAPPS_CACHE"] = before
