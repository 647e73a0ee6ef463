"""`--reduce` through the engines: strength zero keeps every bit, graphs are made once, what has no ViT is refused."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from vitapps.errors import MissingError, UsageError
from vitapps.options import RunOptions
from vitapps.shared_backbones.engines import reduced
from vitapps.shared_backbones.engines.check_input import read_check, relative_error
from vitapps.shared_backbones.engines.load import load_model
from vitapps.shared_backbones.models.reduced import reduced_model
from vitapps.shared_backbones.weights.load import load_module

PLAIN = RunOptions(device="cpu", threads=1, engine="openvino", precision="exact")
FEWER = replace(PLAIN, reduce="tome:r=3")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITAPPS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_strength_zero_is_the_plain_network_bit_for_bit(vit, engine):
    image, _ = read_check(vit)
    plain = replace(PLAIN, engine=engine)
    (wanted,) = load_model(vit, plain)(image)
    (found,) = load_model(vit, replace(plain, reduce="tome:r=0"))(image)
    assert np.array_equal(found, wanted)


def test_the_graph_computes_what_the_reduced_network_computes(vit):
    image, dense = read_check(vit)
    with torch.inference_mode():
        wanted = reduced_model(load_module(vit), FEWER.reduce)(torch.from_numpy(image)).numpy()
    (found,) = load_model(vit, FEWER)(image)
    (torchs,) = load_model(vit, replace(FEWER, engine="torch"))(image)
    assert relative_error([found], [wanted]) < 1e-4 and np.array_equal(torchs, wanted)
    assert relative_error([found], dense) > 1e-3  # it is another network than the dense one


def test_a_graph_made_before_needs_no_torch(vit):
    load_model(vit, FEWER)
    code = (
        "import sys; from vitapps.options import RunOptions; from vitapps.shared_backbones.weights.cards import *;"
        "from vitapps.shared_backbones.engines.load import load_model;"
        f"load_model(load_card({str(vit.folder / vit.name)!r} + '.toml'), {FEWER!r});"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_network_without_vit_is_refused(vit):
    card = replace(vit, arch="linear_probe", config={"features": 4, "outputs": 2})
    with pytest.raises(UsageError, match="no ViT in LinearProbe"):
        load_model(card, FEWER)
    with pytest.raises(UsageError, match="'bolt'"):
        load_model(vit, replace(PLAIN, reduce="bolt:r=3"))


def test_int8_has_no_reduced_graph(vit):
    with pytest.raises(MissingError, match="int8"):
        load_model(vit, replace(FEWER, precision="int8"))


def test_the_networks_used_longest_ago_go(tmp_path, monkeypatch):
    monkeypatch.setattr(reduced, "_KEPT", 2)
    for age, name in enumerate("cab"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    reduced._forget_oldest(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
