"""Pages that were read, kept on disk: an interrupted job of a thousand pages goes on where it stopped.

A page is found again by its pixels and by the weights, the settings and the code that it was read with, whatever its
file is called.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from vitapps import __version__
from vitapps.datasets.formats.page_json import page_from_dict, page_to_dict
from vitapps.datasets.formats.page_text import Page
from vitapps.datasets.formats.picture import Picture
from vitapps.errors import VitappsError
from vitapps.pipelines.document.read_page import PageReader, ReadSettings, read_and_tell
from vitapps.pipelines.runtime.network_facts import NetworkFacts
from vitapps.shared_backbones.engines.cache import DiskCache, entry_key, open_cache

LIMIT = 256 << 20  # bytes: some 10,000 pages
_LOGGER = logging.getLogger("vitapps.document")


@dataclass(slots=True)
class ReadPages:
    """Reads pictures of pages; `load` is called for the first. `read` counts pages read, `found` those known;
    `networks`, by name: those asked for these pages, now or when they were put into the cache."""

    load: Callable[[], PageReader]
    settings: ReadSettings = field(default_factory=ReadSettings)
    cache: DiskCache | None = None
    reader: PageReader | None = None
    read: int = 0
    found: int = 0
    networks: dict[str, NetworkFacts] = field(default_factory=dict)

    def __call__(self, picture: Picture) -> Page:
        """The page in the picture; its number is left to the caller."""
        self.reader = self.reader or self.load()
        key = self._key(picture, self.reader) if self.cache else ""
        known = self._known(key)
        page, networks = known or read_and_tell(picture, self.reader, self.settings)
        self.networks |= {facts.name: facts for facts in networks}
        if known:
            self.found += 1
            return page
        self.read += 1
        if self.cache:
            entry = {"page": page_to_dict(page), "networks": [asdict(facts) for facts in networks]}
            self.cache.put(key, json.dumps(entry).encode())
        return page

    def _known(self, key: str) -> tuple[Page, tuple[NetworkFacts, ...]] | None:
        stored = self.cache.get(key) if self.cache else None
        if not stored:
            return None
        try:
            entry = json.loads(stored)
            return page_from_dict(entry["page"]), tuple(NetworkFacts(**facts) for facts in entry["networks"])
        except (ValueError, KeyError, TypeError, VitappsError):
            _LOGGER.debug("cached page %s is of another form", key)
            return None

    def _key(self, picture: Picture, reader: PageReader) -> str:
        return entry_key({
            "pixels": hashlib.sha256(np.ascontiguousarray(picture.pixels).data).hexdigest(),
            "shape": picture.pixels.shape, "dpi": picture.dpi, "warnings": picture.warnings,
            "weights": dict(reader.weights), "settings": asdict(self.settings),
            "version": __version__, "code": _code(),
        })  # fmt: skip


@lru_cache(maxsize=1)
def _code() -> str:
    """A digest of the code that reads pages: what an older state of it read is not what this one would."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def page_cache() -> DiskCache | None:
    """Where pages are kept (`VITAPPS_CACHE`); None where nothing can be written."""
    return open_cache("pages", LIMIT)
