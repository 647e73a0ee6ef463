"""Weights are mapped onto modules that were built without memory; nothing is left without a value."""

from __future__ import annotations

import threading

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vitapps.errors import MissingError
from vitapps.shared_backbones.models import build
from vitapps.shared_backbones.weights.cards import Card
from vitapps.shared_backbones.weights.load import load_module, parameters_on_meta

CONFIGS = {
    "learned": {"dim": 32, "depth": 2, "heads": 2, "image_size": [32, 32], "num_classes": 5, "layer_scale": 1e-3},
    "sincos": {"dim": 32, "depth": 2, "heads": 2, "image_size": [32, 32], "pos": "sincos", "num_classes": 5},
    "rope": {"dim": 32, "depth": 2, "heads": 2, "image_size": [32, 32], "pos": "rope", "num_classes": 5},
}


def card_of(config):
    return Card(
        name="x", task="classify", arch="vit", config=config, summary="", licence="", weights_file="", sha256="", size=0
    )


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_mapped_module_is_the_saved_one(name, tmp_path):
    torch.manual_seed(0)
    saved = build("vit", CONFIGS[name]).eval()
    save_file(saved.state_dict(), tmp_path / "x.safetensors")
    loaded = load_module(card_of(CONFIGS[name]), tmp_path / "x.safetensors")
    assert not loaded.training
    assert not [key for key, value in [*loaded.named_parameters(), *loaded.named_buffers()] if value.is_meta]
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded(x), saved(x))
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_building_draws_no_random_numbers_and_takes_no_memory():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with parameters_on_meta():
        module = build("vit", CONFIGS["sincos"])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.is_meta for parameter in module.parameters())
    assert not any(buffer.is_meta for buffer in module.buffers())  # tables that no file holds


def test_other_threads_and_later_modules_are_left_alone():
    made = []
    with parameters_on_meta():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
        assert nn.Linear(2, 2).weight.is_meta
    assert not made[0].weight.is_meta
    assert not nn.Linear(2, 2).weight.is_meta


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path):
    state = build("vit", CONFIGS["learned"]).state_dict()
    state.pop("norm.weight")
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(MissingError, match=r"norm\.weight"):
        load_module(card_of(CONFIGS["learned"]), tmp_path / "x.safetensors")
