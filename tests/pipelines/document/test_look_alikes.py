"""Letters and figures that look alike: settled by what stands beside them, and left where nothing tells."""

from __future__ import annotations

import pytest

from vitapps.pipelines.document.look_alikes import settle_text


@pytest.mark.parametrize(("read", "meant"), [
    ("RMO.00", "RM0.00"), ("$O.50", "$0.50"), ("O.OO", "0.00"), ("RM O.0O 1O,OO", "RM 0.00 10,00"),
    ("GST @ O%", "GST @ 0%"), ("O %", "0 %"), ("2O18", "2018"),
])  # fmt: skip
def test_amounts_hold_figures(read: str, meant: str) -> None:
    assert settle_text(read) == meant


@pytest.mark.parametrize("text", ["NO.12", "CO.00-12", "O Lord", "to.do", "Oo, oo", "CO2", "ZOO.05"])
def test_words_keep_their_letters(text: str) -> None:
    assert settle_text(text) == text
