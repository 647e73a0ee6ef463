"""Cards: what they refuse, what a written card reads back as, and how weights get into a module."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vitapps.errors import MissingError
from vitapps.provenance import sha256_file
from vitapps.shared_backbones import models
from vitapps.shared_backbones.weights import cards
from vitapps.shared_backbones.weights.cards import Card, graph_path, load_card, verify, weights_path, write_card
from vitapps.shared_backbones.weights.load import load_weights

CONFIG: dict[str, Any] = {
    "in_chans": 1, "image_size": [8, 8], "patch": [4, 4], "dim": 16, "depth": 1, "heads": 2, "num_classes": 2,
    "pos": "learned+rope",
}  # fmt: skip


def half_state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.half().contiguous() for key, value in module.state_dict().items()}


@pytest.fixture
def card(tmp_path: Path) -> Card:
    torch.manual_seed(0)
    weights, graph = tmp_path / "tiny-eye.safetensors", tmp_path / "tiny-eye.onnx"
    save_file(half_state(models.build("vit", CONFIG)), weights)
    graph.write_bytes(b"graph")
    made = Card(
        name="tiny-eye", task="medical.segment", arch="vit", config=CONFIG, summary="two classes", licence="Apache-2.0",
        weights_file=weights.name, sha256=sha256_file(weights), size=weights.stat().st_size,
        graph_file=graph.name, graph_sha256=sha256_file(graph), graph_size=5,
        labels=[{"value": 0, "name": "background"}, {"value": 17, "name": "left eye", "threshold": 0.4}],
        scores=[{"metric": "Dice", "value": 0.5, "data": "none", "n": 1, "command": "vitapps medical eval"}],
        tolerance={"bf16": True}, limits=["of no use"], folder=tmp_path,
    )  # fmt: skip
    write_card(made, tmp_path / "tiny-eye.toml")
    return made


def test_a_written_card_reads_back_the_same(card: Card) -> None:
    assert load_card(card.folder / "tiny-eye.toml") == card
    assert load_card(str(card.folder / "tiny-eye.safetensors")) == card
    verify(card)
    assert weights_path(card) == card.folder / "tiny-eye.safetensors"
    assert graph_path(card).read_bytes() == b"graph"


def test_a_card_of_another_task_is_refused(card: Card, tmp_path: Path) -> None:
    written = tmp_path / f"{card.name}.toml"
    assert load_card(written, "medical.segment") == load_card(written)
    with pytest.raises(MissingError, match=r"'tiny-eye' are for medical\.segment, not for rs\.detect"):
        load_card(written, "rs.detect")


def test_what_is_empty_reads_back_empty(card: Card) -> None:
    """A required field is written whatever it holds: a card without it would be refused."""
    bare = replace(card, summary="", licence="", size=0, config={}, graph_file="", labels=[], limits=[""])
    write_card(bare, card.folder / "bare.toml")
    assert load_card(card.folder / "bare.toml") == bare


@pytest.mark.parametrize("file", ["tiny-eye.safetensors", "tiny-eye.onnx"])
def test_a_changed_byte_is_refused(card: Card, file: str) -> None:
    path = card.folder / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(MissingError, match="sha256"):
        verify(card)
    if file.endswith("safetensors"):
        with pytest.raises(MissingError, match="sha256"):
            load_weights(models.build("vit", CONFIG), card)


def test_an_absent_file_is_refused(card: Card) -> None:
    (card.folder / card.weights_file).unlink()
    with pytest.raises(MissingError, match="missing"):
        verify(card)
    with pytest.raises(MissingError, match="no such weights file"):
        load_card(card.folder / card.weights_file)
    with pytest.raises(MissingError, match="no saved graph"):
        graph_path(replace(card, graph_file=""))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('status = "paper"', 'state = "paper"', "unknown key 'state'"),
        ('task = "medical.segment"', "", "lacks 'task'"),
        ('summary = "two classes"', "summary = 2", "'summary' is 2"),
        ('name = "tiny-eye"', "name = tiny", "not a readable card"),
    ],
)
def test_a_wrong_card_is_refused(card: Card, old: str, new: str, message: str) -> None:
    path = card.folder / "tiny-eye.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(MissingError, match=message):
        load_card(path)


def test_an_unknown_name_gets_close_matches(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "FOLDER", card.folder)
    assert cards.list_cards() == ["tiny-eye"]
    assert load_card("tiny-eye").name == "tiny-eye"
    with pytest.raises(MissingError) as caught:
        load_card("tiny-eyes")
    assert "did you mean tiny-eye?" in caught.value.hint
    with pytest.raises(MissingError) as caught:
        load_card("brain-of-a-whale")
    assert caught.value.hint == "embedded: tiny-eye"


@pytest.mark.parametrize("name", ["nowhere/at-all.toml", "nowhere.safetensors", "timm:vit_tiny_patch16_224"])
def test_a_path_or_published_name_is_never_replaced(name: str) -> None:
    with pytest.raises(MissingError):
        load_card(name)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_halves_become_the_module_s_floats(card: Card, device: str) -> None:
    stored = models.build("vit", CONFIG)
    load_weights(stored, card)
    with torch.device(device):
        module = models.build("vit", CONFIG)
    report = load_weights(module, load_card(card.folder / "tiny-eye.toml"))
    assert report.missing == report.unexpected == ()
    assert all(value.dtype == torch.float32 and value.device.type == "cpu" for value in module.state_dict().values())
    assert all(parameter.requires_grad for parameter in module.parameters())
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(module(x), stored(x))


@pytest.mark.parametrize("fault", ["missing", "unexpected", "misshaped"])
def test_keys_that_do_not_fit_leave_the_module_alone(tmp_path: Path, fault: str) -> None:
    module = models.build("vit", CONFIG)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = half_state(models.build("vit", CONFIG))
    if fault == "missing":
        del state["head.weight"]
    elif fault == "unexpected":
        state["extra.weight"] = torch.zeros(1).half()
    else:
        state["head.weight"] = torch.zeros(3, 16).half()
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(MissingError, match=f"1 {fault} "):
        load_weights(module, tmp_path / "w.safetensors")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    if fault != "misshaped":
        report = load_weights(module, tmp_path / "w.safetensors", strict=False)
        assert len(report.missing) + len(report.unexpected) == 1


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"not tensors at all")
    with pytest.raises(MissingError, match="not a readable safetensors"):
        load_weights(models.build("vit", CONFIG), path)


def test_cards_do_not_import_torch() -> None:
    code = "import sys, vitapps.shared_backbones.weights.cards as c; c.list_cards(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
