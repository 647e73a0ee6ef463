"""Characters that look alike and that their neighbours tell apart: O in a number is 0, 0 among capitals is O.

A light rule, no dictionary: only pairs that print often draws the same way, only where both neighbours or the whole
word agree. Two single quotes that touch are a double one. A full stop before a small letter is a comma, unless the
network is surer of it than running prose is of commas there.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

from vitapps.pipelines.document.ctc_decode import RIVALS, Peak

_IN_NUMBERS = str.maketrans("OoIl|", "00111")
_AMONG_CAPITALS = str.maketrans("0158", "OISB")
_AMONG_SMALL = str.maketrans("I10", "llo")
_NUMBER_WORD = re.compile(r"\S+")
_BESIDE_DIGITS = re.compile(r"(?<=\d)[Oo](?=[\d.,:/-])|(?<=[\d.,:/-])[Oo](?=\d)|(?<=\d)[Il](?=\d)")
_AMOUNT = re.compile(r"(?<![A-Za-z])(?:RM|[$€£])?[\dOo]+[.,][\dOo]{2}(?![A-Za-z])|(?<![A-Za-z])[Oo](?=\s?%)")
_INSIDE_CAPITALS = re.compile(r"(?<=[A-Z])[0158](?=[A-Z])")
_INSIDE_SMALL = re.compile(r"(?<=[a-z])[I10](?=[a-z])")
# after a word of four letters or digits, before a small one: 46,899 commas, 297 full stops (Debian's fortunes, 6.8 MB)
_COMMA_ODDS = math.log(46_899 / 297)
_SHORTENED = "approx|assoc|bros|corp|dept|eqns|evtl|figs|inst|prof|proc|refs|resp|sect|secs|univ|vols"
_MAY_BE_COMMA = re.compile(rf"\b(?!(?i:{_SHORTENED})\.)\w{{4,}}(\.)(?= [a-zß-öø-ÿ])")
_DOUBLES = {"‘‘": "“", "’’": "”"}


def settle_text(text: str) -> str:
    """`text` with look-alikes settled, of the same length."""
    text = _NUMBER_WORD.sub(lambda match: _as_number(match.group()), text)
    text = _AMOUNT.sub(lambda match: match.group().translate(_IN_NUMBERS), text)
    text = _BESIDE_DIGITS.sub(lambda match: match.group().translate(_IN_NUMBERS), text)
    text = _INSIDE_CAPITALS.sub(lambda match: match.group().translate(_AMONG_CAPITALS), text)
    return _INSIDE_SMALL.sub(lambda match: match.group().translate(_AMONG_SMALL), text)


def _as_number(word: str) -> str:
    """The word in digits, where at least half of its letters and digits are digits and the others look like some."""
    marks = [char for char in word if char.isalnum() or char == "|"]
    digits = sum(char.isdigit() for char in marks)
    alike = sum(char in "OoIl|" for char in marks)
    return word.translate(_IN_NUMBERS) if digits and digits + alike == len(marks) and digits >= alike else word


def settle(peaks: Sequence[Peak]) -> tuple[Peak, ...]:
    """The same for characters with their places; two single quotes become one double, at the first one's place."""
    joined: list[Peak] = []
    for peak in peaks:
        double = _DOUBLES.get(joined[-1].char + peak.char) if joined else None
        if double is None:
            joined.append(peak)
        else:
            joined[-1] = dataclasses.replace(joined[-1], char=double, path=joined[-1].path + peak.path)
    joined = _with_commas(joined)
    text = settle_text("".join(peak.char for peak in joined))
    return tuple(dataclasses.replace(peak, char=char) for peak, char in zip(joined, text, strict=True))


def _with_commas(peaks: list[Peak]) -> list[Peak]:
    """Full stops that are likelier commas, by the network's odds times those of prose; their chances follow."""
    found = list(peaks)
    for match in _MAY_BE_COMMA.finditer("".join(peak.char for peak in peaks)):
        place = match.start(1)
        peak = peaks[place]
        odds = peak.rival - math.log(peak.probability) + _COMMA_ODDS
        if odds > 0:
            chance = 1 / (1 + math.exp(-odds))
            path = peak.path - math.log(peak.probability) + math.log(chance)
            found[place] = dataclasses.replace(peak, char=RIVALS["."], probability=chance, path=min(path, 0.0))
    return found


def kept_comma(word: str, following: str, spelling: str) -> str:
    """Another `spelling` of a word that was given the comma at its end by the word `following`: it keeps that."""
    by_place = word.endswith(",") and _MAY_BE_COMMA.search(f"{word[:-1]}. {following}")
    return spelling[:-1] + "," if by_place and spelling.endswith(".") else spelling
