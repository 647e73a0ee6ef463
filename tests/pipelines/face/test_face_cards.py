"""Every face card names its data and licence, what it must not be used for, and pictures of a failure that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vitapps.shared_backbones.weights.cards import list_cards, load_card

ROOT = Path(__file__).parents[3]
CARDS = [name for name in list_cards() if name.startswith("face-")]
FORBIDS = re.compile(r"\b(forbidden:|not for |never (a|the) (sole|only))")


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_honest(name: str) -> None:
    card = load_card(name)
    assert card.licence and card.training["data"] and card.training["split"] and card.scores
    assert any(FORBIDS.search(limit) for limit in card.limits)
    pictures = [Path(found) for limit in card.limits for found in re.findall(r"docs/img/\S+\.(?:jpg|png)", limit)]
    assert pictures
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    for picture in pictures:
        assert (ROOT / picture).stat().st_size < 100_000 and f"img/{picture.name}" in pages


def test_every_face_model_is_there() -> None:
    assert len(CARDS) >= 7
