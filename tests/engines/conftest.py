"""One published card for all tests of engines: publishing traces and quantizes, which takes seconds."""

import pytest

from fakes.vit_card import publish_vit


@pytest.fixture(scope="session")
def vit(tmp_path_factory):
    return publish_vit(tmp_path_factory.mktemp("vit"), tolerance={"bf16": True, "int8": True})
