"""Reading without a network: every picture holds the same few words, placed by its size."""

from __future__ import annotations

import pytest

from vitapps.datasets.formats.page_text import Block, Line, Page, Word, quad_of
from vitapps.datasets.formats.picture import Picture
from vitapps.pipelines.document import page_cache
from vitapps.pipelines.document.read_page import PageReader, ReadSettings
from vitapps.pipelines.runtime.network_facts import NetworkFacts

TEXT = "Read from pixels"


class Reading:
    """Stands for `read_page`; `pictures` keeps what was read, `networks` are those that are told, `weights` those
    that might be asked."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.networks = [NetworkFacts(name="fake-reader", sha256="0" * 64, device="cpu")]
        self.weights: dict[str, str] = {}

    def tell(
        self, picture: Picture, reader: PageReader, settings: ReadSettings | None = None
    ) -> tuple[Page, tuple[NetworkFacts, ...]]:
        """Stands for `read_and_tell`."""
        return self(picture, reader, settings), tuple(self.networks)

    def __call__(self, picture: Picture, reader: PageReader, settings: ReadSettings | None = None) -> Page:
        self.pictures.append(picture)
        height, width = picture.pixels.shape[:2]
        dpi = picture.dpi or (300.0, 300.0)
        if picture.pixels.min() == 255:
            return Page(width=width, height=height, dpi=dpi, warnings=("no writing found",))
        words = [
            Word(text=text, quad=quad_of((width * x, height * 0.1, width * (x + 0.15), height * 0.13)), confidence=0.8)
            for text, x in zip(TEXT.split(), (0.1, 0.3, 0.5), strict=True)
        ]
        line = Line(words=tuple(words), quad=quad_of((width * 0.1, height * 0.1, width * 0.65, height * 0.13)))
        return Page(width=width, height=height, dpi=dpi, blocks=(Block(lines=(line,), box=line.box),))


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Replaces the networks and the reading of a page."""
    found = Reading()
    monkeypatch.setattr(page_cache, "read_and_tell", found.tell)
    monkeypatch.setattr(
        PageReader, "load", classmethod(lambda cls, weights=None, options=None: cls(lines=None, weights=found.weights))
    )
    return found
