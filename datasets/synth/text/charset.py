"""The characters that the embedded recogniser writes: ASCII, Latin-1, Latin Extended-A and typographic marks.

Of Latin Extended-A those five are left out that Unicode keeps for older codes and that look like two letters each; they
are written as the two. Of Latin-1 lone accents are left out, which print does not have.
"""

from __future__ import annotations

import unicodedata

_ASCII = "".join(map(chr, range(0x20, 0x7F)))
_LATIN_1 = "".join(chr(code) for code in range(0xC0, 0x100) if code not in (0xD7, 0xF7))
_PAIRS = {"Ĳ": "IJ", "ĳ": "ij", "Ŀ": "L·", "ŀ": "l·", "ŉ": "’n"}
_EXTENDED = "".join(char for char in map(chr, range(0x100, 0x180)) if char not in _PAIRS) + "ȘșȚț"
_MARKS = "–—‘’‚“”„‹›«»…•·†‡§¶°±×÷µ¿¡©®™€£¥¢½¼¾¹²³ªº¤¦¬"
_STROKES = dict(zip("ÐĐðđĦħŁłØŒøœÆæŦŧŊŋıĸſß", "DDddHhLlOOooAaTtNnikss", strict=True))  # no mark that NFD knows
CHARSET = _ASCII + _LATIN_1 + _EXTENDED + _MARKS  # a space first


def fold_to_charset(text: str) -> str:
    """NFC with what the charset lacks left out and every run of blanks as one space; ends are stripped."""
    known = set(CHARSET)
    text = "".join(_PAIRS.get(char, char) for char in text)
    kept = (char if char in known else " " if char.isspace() else "" for char in unicodedata.normalize("NFC", text))
    return " ".join("".join(kept).split())


def variants(letter: str) -> str:
    """The letters of the charset that are `letter` with a mark of some kind, itself left out; none for most."""
    stroke = "".join(char for char, plain in _STROKES.items() if plain == letter)
    marked = (char for char in CHARSET if char != letter and unicodedata.normalize("NFD", char)[0] == letter)
    return "".join(marked) + stroke
