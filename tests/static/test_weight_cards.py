"""Every embedded card is honest about its files: there, small, of the stated sha256, with unique labels and scores."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from vitapps.shared_backbones.weights.cards import Card, card_files, list_cards, load_card, verify

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_BYTES, MAX_TOTAL_BYTES = 8_000_000, 80_000_000


@pytest.fixture(params=list_cards())
def card(request: pytest.FixtureRequest) -> Card:
    return load_card(request.param)


def test_files_are_as_stated(card: Card) -> None:
    verify(card)
    stated = [
        (card.weights_file, card.sha256, card.size),
        (card.graph_file, card.graph_sha256, card.graph_size),
        (card.int8_file, card.int8_sha256, card.int8_size),
        (card.check.get("file", ""), card.check.get("sha256", ""), card.check.get("size", 0)),
    ]
    for file, digest, size in [item for item in stated if item[0]]:
        content = (Path(card.folder) / file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        assert len(content) == size <= MAX_FILE_BYTES


def test_labels_are_unique(card: Card) -> None:
    assert card.labels or len(set(card.preprocess["charset"])) == len(
        card.preprocess["charset"]
    )  # one class a character
    for key in ("value", "name"):
        values = [label[key] for label in card.labels]
        assert len(values) == len(set(values))


def test_scores_and_training_name_their_commands(card: Card) -> None:
    assert card.scores
    for score in card.scores:
        assert {"metric", "value", "data", "n", "command"} <= set(score)
        assert str(score["command"]).startswith("vitapps ")
    assert str(card.training["command"]).startswith("vitapps ")
    assert "seed" in card.training


def test_a_user_can_judge_the_card(card: Card) -> None:
    assert card.limits
    assert card.licence
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", card.name)
    assert len(card.summary) <= 120


def test_all_weights_together_fit_in_a_wheel() -> None:
    folder = ROOT / "shared_backbones" / "weights"
    data = [path for path in folder.iterdir() if path.suffix in (".safetensors", ".onnx")]
    assert sum(path.stat().st_size for path in data) <= MAX_TOTAL_BYTES
    carded = {name for card in map(load_card, list_cards()) for name in card_files(card)}
    assert {path.name for path in data} == carded, "a weights file without a card, or a card without its file"
