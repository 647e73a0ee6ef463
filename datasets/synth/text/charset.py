"""The characters that the embedded recogniser writes: Latin with the diacritics of Europe, and typographic marks."""

from __future__ import annotations

import unicodedata

_ASCII = "".join(map(chr, range(0x20, 0x7F)))
_LATIN_1 = "".join(chr(code) for code in range(0xC0, 0x100) if code not in (0xD7, 0xF7))
_EXTENDED = "ĀāĂăĄąĆćČčĎďĐđĒēĖėĘęĚěĞğĢģĪīĮįİıĶķĹĺĻļĽľŁłŃńŅņŇňŌōŐőŒœŔŕŘřŚśŞşŠšŤťŪūŮůŰűŲųŴŵŶŷŸŹźŻżŽžȘșȚț"
_MARKS = "–—‘’‚“”„‹›«»…•·†‡§¶°±×÷µ¿¡©®™€£¥¢½¼¾¹²³"
CHARSET = _ASCII + _LATIN_1 + _EXTENDED + _MARKS  # a space first


def fold_to_charset(text: str) -> str:
    """NFC with what the charset lacks left out and every run of blanks as one space; ends are stripped."""
    known = set(CHARSET)
    kept = (char if char in known else " " if char.isspace() else "" for char in unicodedata.normalize("NFC", text))
    return " ".join("".join(kept).split())
