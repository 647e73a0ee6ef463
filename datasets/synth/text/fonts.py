"""The Latin faces that are installed on this machine, for rendering training text.

A face is kept when it has every ASCII letter and digit, a true lower case (small capitals would teach that the letter
`a` looks like `A`), and is no symbol, blackletter or hand-writing design. Machines without any get Pillow's own face.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import string
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitapps.datasets.synth.text.charset import CHARSET
from vitapps.require import require

log = logging.getLogger("vitapps.synth.fonts")
FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/texmf/fonts/opentype", "~/.local/share/fonts", "~/.fonts",
    "/Library/Fonts", "/System/Library/Fonts", "C:/Windows/Fonts",
)  # fmt: skip
Kind = Literal["book", "sans", "mono", "other"]
_NEEDED = frozenset(map(ord, string.ascii_letters + string.digits + ".,-()"))
_UNFIT = re.compile(
    r"symbol|math|dingbat|keyboard|initials|icon|emoji|caps\b|smallcaps|script|chorus|chancery|z003|d050000|rufscript"
    r"|tomson|dunhill|titling|lcircle|foundry|quotation|bible|hairline|irianis adf style|style std|bebas",
    re.IGNORECASE,
)
_NOTO = {"Noto Sans", "Noto Serif", "Noto Mono", "Noto Sans Mono", "Noto Sans Display", "Noto Serif Display"}
_BOOK = re.compile(
    r"nimbus roman|termes|liberation serif|tinos|freeserif|times|cmu serif|cmu concrete|lm roman|latin modern roman"
    r"|schola|c059|century|pagella|p052|bookman|bonum|baskerv|didot|garamond|caladea|charis|gentium|libertine o"
    r"|old standard|dejavu serif|pt serif|noto serif|cardo|doulos|vollkorn|essays|goudy|bookletter|museum|fanwood",
    re.IGNORECASE,
)
_SANS = re.compile(
    r"nimbus sans|heros|liberation sans|arimo|freesans|helvet|arial|carlito|dejavu sans|roboto|open sans|lato|noto sans"
    r"|switzera|pt sans|cmu bright|cmu sans|lm sans|latin modern sans|inter\b|biolinum",
    re.IGNORECASE,
)
HELD_OUT = 10  # one family in so many is kept from training


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """One face of a font file; `path` empty means Pillow's own. `chars`: what it can draw of the charset."""

    path: str
    index: int
    family: str
    style: str
    kind: Kind
    chars: frozenset[str]

    @property
    def held_out(self) -> bool:
        """Whether its family serves validation only."""
        return hashlib.sha1(self.family.encode()).digest()[0] % HELD_OUT == 0

    @property
    def slanted(self) -> bool:
        """Whether the style says italic or oblique."""
        return bool(re.search(r"ital|obli|slant", self.style, re.IGNORECASE))

    @property
    def heavy(self) -> bool:
        """Whether the style says bold."""
        return bool(re.search(r"bold|black|heavy", self.style, re.IGNORECASE))


def find_faces(folders: Sequence[str] = FOLDERS) -> tuple[Face, ...]:
    """Every usable face under `folders`, sorted by family, style and path; Pillow's own where there is none."""
    fonts = require("fontTools.ttLib", extra="train", package="fonttools")
    found: dict[tuple[str, str], Face] = {}
    for path in _font_files(folders):
        for face in _faces_of(fonts, path):
            found.setdefault((face.family, face.style), face)  # the same face in several packages counts once
    if not found:
        log.warning("no Latin font file found: drawing with Pillow's own face only")
        return (_own_face(),)
    return tuple(found[key] for key in sorted(found))


@functools.lru_cache(maxsize=512)
def open_face(path: str, index: int, size: int) -> Any:
    """A Pillow font of `size` pixels to the em."""
    from PIL import ImageFont

    return ImageFont.truetype(path, size, index=index) if path else ImageFont.load_default(size)


def _font_files(folders: Sequence[str]) -> list[Path]:
    roots = [Path(os.path.expanduser(folder)) for folder in folders]
    files = {path for root in roots if root.is_dir() for path in root.rglob("*")}
    return sorted(path for path in files if path.suffix.lower() in (".ttf", ".otf", ".ttc"))


def _faces_of(fonts: Any, path: Path) -> list[Face]:
    """The usable faces of a file; a file that is no font is left out with a word in the log."""
    try:
        count = len(fonts.TTCollection(str(path)).fonts) if path.suffix.lower() == ".ttc" else 1
        faces = [_read_face(fonts, path, index) for index in range(count)]
    except (fonts.TTLibError, OSError, KeyError, AttributeError, ValueError, struct.error) as error:
        log.info("%s: left out: %s", path, error)
        return []
    return [face for face in faces if face is not None]


def _read_face(fonts: Any, path: Path, index: int) -> Face | None:
    font = fonts.TTFont(str(path), lazy=True, fontNumber=index)
    names = font["name"]
    family = names.getBestFamilyName() or path.stem
    style = names.getBestSubFamilyName() or ""
    codes = font.getBestCmap() or {}
    unfit = _UNFIT.search(f"{family} {style}") or (family.startswith("Noto ") and family not in _NOTO)
    if unfit or not set(codes) >= _NEEDED:
        return None
    if not _has_lower_case(path, index):
        return None
    advances = font["hmtx"].metrics
    mono = len({advances[codes[ord(char)]][0] for char in "iWm."}) == 1
    chars = frozenset(char for char in CHARSET if ord(char) in codes)
    return Face(path=str(path), index=index, family=family, style=style, kind=_kind(family, mono), chars=chars)


def _has_lower_case(path: Path, index: int) -> bool:
    """Whether `g` and `p` reach below the baseline and `H` above it."""
    font = open_face(str(path), index, 100)
    below = [font.getbbox(char, anchor="ls")[3] for char in "gp"]
    return bool(min(below) > 5 and font.getbbox("H", anchor="ls")[1] < -40)


def _kind(family: str, mono: bool) -> Kind:
    if mono:
        return "mono"
    return "book" if _BOOK.search(family) else "sans" if _SANS.search(family) else "other"


def _own_face() -> Face:
    """Pillow's embedded Aileron subset, which has ASCII and Latin-1."""
    own = frozenset(char for char in CHARSET if ord(char) < 0x100)
    return Face(path="", index=0, family="Aileron", style="Regular", kind="sans", chars=own)
