"""What the lines say: prose, journal lines with citations, headings, tables of numbers, receipts, random strings.

Words come from word lists and fortune files of the machine where there are any (Debian: wamerican, fortunes and their
translations), from a list given by the user, and else from a few hundred common words below. Text is kept only as a
source of words; no line repeats a document.
"""

from __future__ import annotations

import gzip
import itertools
import random
import re
import string
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.synth.text.business import contact, number, receipt
from vitapps.datasets.synth.text.charset import CHARSET, fold_to_charset, variants
from vitapps.errors import UnreadableInputError

DICTIONARIES = Path("/usr/share/dict")
FORTUNES = Path("/usr/share/games/fortunes")
MAX_COMMON = 60_000  # words of a list by frequency; what follows is mostly misspelt
MAX_RARE = 20_000  # words of one dictionary, evenly spread
_COMMON_TEXT = (
    "the of and to in is that for with as was on by are it from be this at which or an have not has were their but can "
    "one been we more also these other between may two some first such when all new time only there its into will than "
    "most results method model data system value number high low field energy surface shown figure table section using "
    "temperature pressure water material process analysis different large small effect case form part total group test "
    "paper work state example however therefore because where while both each under within during after before about "
    "increase decrease observed obtained measured calculated experimental theoretical significant important possible "
    "people day house world school country family company money city book office door market price order item sale"
)
_ABBREVIATION_TEXT = "e.g., i.e., cf. et al. vs. Fig. Eq. Ref. Sect. Vol. No. pp. ca. etc. Dr. Prof. Mr. Inc. Ltd."
_UNIT_TEXT = "mm cm km µm nm kg mg s ms Hz MHz GHz K °C eV MeV mol Pa kPa MPa V mV A W kW dB % ppm"
_MARK_TEXT = (
    "– — … • · † ‡ § ¶ ± × ÷ µ ¿ ¡ © ® ™ € £ ¥ ¢ ½ ¼ ¾ ¹ ² ³ «» ‹› “” ‘’ „“ ° & @ # $ % * + / < = > \\ ^ _ | ~ ` "
    "{ } [ ]"
)
_SUFFIX_TEXT = "tion ing ed ly er ment ness able al ity ous ive ation ence ist ism"
_COMMON, _ABBREVIATIONS, _UNITS = _COMMON_TEXT.split(), _ABBREVIATION_TEXT.split(), _UNIT_TEXT.split()
_MARKS, _SUFFIXES = _MARK_TEXT.split(), _SUFFIX_TEXT.split()
_VARIANTS = {letter: variants(letter) for letter in string.ascii_letters}
_AFTER = (",", ",", ".", ".", ";", ":", "?", "!", ".”", ",”", "’s", "'s", "s’", " –", "—", ".¹", "²", "*")
_TOKENS = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextSource:
    """`common`: words, frequent ones first; `rare`: words of dictionaries in any language; `prose`: running text as
    words in their order."""

    common: Sequence[str]
    rare: Sequence[str]
    prose: Sequence[str]

    @classmethod
    def open(cls, word_list: Path | None = None) -> TextSource:
        """From `word_list` (one word a line, frequent ones first, .gz too) and what the machine has."""
        common = read_words(word_list)[:MAX_COMMON] if word_list is not None else []
        rare = [word for path in _files(DICTIONARIES) for word in _dictionary(path)]
        prose = [word for path in _files(FORTUNES) for word in _prose_of(path)]
        return cls(common=common or _COMMON, rare=rare or common or _COMMON, prose=prose or _COMMON)

    def text(self, rng: random.Random, length: int) -> tuple[str, bool]:
        """A line of about `length` characters or fewer, all of the charset, without double blanks; and whether it is
        one of a receipt or letter head."""
        kind = rng.choices(_KINDS, _WEIGHTS)[0]
        return fold_to_charset(kind(self, rng, length)), kind in (_receipt, _contact)

    def word(self, rng: random.Random) -> str:
        """One word: mostly frequent ones, some of any language, some made up."""
        kind = rng.random()
        if kind < 0.72:
            return self.common[int(len(self.common) ** rng.random()) - 1]  # about Zipf: log-uniform in the rank
        if kind < 0.95:
            return rng.choice(self.rare)
        made_up = "".join(
            rng.choices("bcdfghklmnprstvw", k=1)
            + rng.choices(string.ascii_lowercase, k=rng.randint(1, 5))
            + [rng.choice(_SUFFIXES)]
        )
        return _accented(rng, made_up) if kind > 0.975 else made_up


def _accented(rng: random.Random, word: str) -> str:
    """A word as no language has it, with marks at a third of its letters, half of the time in capitals."""
    word = word.upper() if rng.random() < 0.5 else word
    marked = (rng.choice(_VARIANTS.get(char, "") or char) if rng.random() < 0.33 else char for char in word)
    return "".join(marked)


def read_words(path: Path) -> list[str]:
    """The words of a list, one a line, gzipped by suffix; raises UnreadableInputError."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return raw.decode("utf-8").split("\n")
    except (OSError, EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableInputError(f"{path}: not a word list: {error}", hint="one word a line, UTF-8") from None


def _files(folder: Path) -> list[Path]:
    """Plain text files of a folder and of those in it, sorted; links and index files left out."""
    if not folder.is_dir():
        return []
    kept = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(path for path in kept if path.suffix == "" and not path.name.startswith(("README", "ascii-art")))


def _dictionary(path: Path) -> list[str]:
    """The words of a list of this machine, none where it is in an old encoding."""
    try:
        words = read_words(path)
        return [word.strip() for word in words[:: max(1, len(words) // MAX_RARE)] if word.strip()]
    except UnreadableInputError:
        return []


def _prose_of(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [word for word in _TOKENS.findall(text) if word != "%" and len(word) < 24]


def _join(parts: Callable[[], str], length: int, rng: random.Random) -> str:
    """Parts with blanks between them until `length` characters are reached; the last may end in a hyphen."""
    words: list[str] = []
    size = 0
    while size < length and len(words) < 60:
        words.append(parts())
        size += len(words[-1]) + 1
    text = " ".join(words)
    if len(text) > length and rng.random() < 0.6:
        cut = text[:length].rstrip(" -")
        return cut + "-" if cut[-1:].isalpha() and text[len(cut) : len(cut) + 1].isalpha() else cut
    return " ".join(words[:-1]) if len(words) > 1 and len(text) > length + 6 else text


def _prose(source: TextSource, rng: random.Random, length: int) -> str:
    places = itertools.count(rng.randrange(len(source.prose)))
    return _join(lambda: source.prose[next(places) % len(source.prose)], length, rng)


def _sentence(source: TextSource, rng: random.Random, length: int) -> str:
    capital = rng.random() < 0.5

    def part() -> str:
        nonlocal capital
        word = _dressed(source, rng)
        word = word[:1].upper() + word[1:] if capital else word
        capital = word.endswith((".", "?", "!"))
        return word

    return _join(part, length, rng)


def _dressed(source: TextSource, rng: random.Random) -> str:
    """A word with the marks that stand at words in print."""
    word, chance = source.word(rng), rng.random()
    if chance < 0.78:
        return word
    if chance < 0.90:
        return word + rng.choice(_AFTER)
    if chance < 0.94:
        left, right = tuple(rng.choice(["()", "()", "[]", "“”", "‘’", '""', "''", "«»", "„“"]))
        return left + word + (" " + source.word(rng)) * (rng.random() < 0.4) + right + rng.choice(["", "", ",", "."])
    if chance < 0.97:
        return word + rng.choice(["-", "-", "–", "/"]) + source.word(rng)
    return rng.choice([word.capitalize(), word.upper(), number(rng), rng.choice(_ABBREVIATIONS)])


def _journal(source: TextSource, rng: random.Random, length: int) -> str:
    """Citations, equations in the running line, units, section numbers, references."""

    def part() -> str:
        return rng.choice(_JOURNAL_PARTS)(source, rng)

    return _join(part, length, rng)


def _name(source: TextSource, rng: random.Random) -> str:
    initials = " ".join(f"{rng.choice(string.ascii_uppercase)}." for _ in range(rng.randint(1, 2)))
    return f"{initials} {source.word(rng).capitalize()}" + rng.choice(["", "", ",", " and", " et al."])


_JOURNAL_PARTS: tuple[Callable[[TextSource, random.Random], str], ...] = (
    *((lambda source, rng: _dressed(source, rng)),) * 8,
    _name,
    lambda _, rng: rng.choice(["[{}]", "[{}],", "({})", "{}.", "[{}]."]).format(rng.randint(1, 99)),
    lambda source, rng: f"({source.word(rng).capitalize()}, {rng.randint(1890, 2026)})",
    lambda _, rng: rng.choice(["Fig. {}", "Eq. ({})", "Table {}", "Section {}", "Figs. {}", "Eqs. ({})"]).format(
        rng.randint(1, 30)
    ),
    lambda _, rng: f"{number(rng)} {rng.choice(_UNITS)}",
    lambda _, rng: f"{rng.choice(string.ascii_letters)} {rng.choice(['=', '<', '>', '±', '×'])} {number(rng)}",
    lambda _, rng: f"{rng.randint(1, 99)} ({rng.randint(1950, 2026)}) {rng.randint(1, 999)}–{rng.randint(1000, 1999)}",
    lambda _, rng: rng.choice(_ABBREVIATIONS),
    lambda source, rng: "J. " + source.word(rng).capitalize() + ". " + rng.choice(["Phys.", "Chem.", "Soc.", "Lett."]),
)


def _heading(source: TextSource, rng: random.Random, length: int) -> str:
    style = rng.choice([str.upper, str.title, str.capitalize, str.upper])
    start = rng.choice(
        [
            "",
            "",
            "",
            f"{rng.randint(1, 12)}. ",
            f"{rng.randint(1, 9)}.{rng.randint(1, 9)} ",
            f"{rng.choice(['I', 'II', 'III', 'IV', 'V', 'VI', 'VII', 'IX', 'X'])}. ",
            "• ",
            "- ",
            "(a) ",
        ]
    )
    return start + style(_join(lambda: source.word(rng), length, rng))


def _numbers(_: TextSource, rng: random.Random, length: int) -> str:
    return _join(lambda: number(rng), length, rng)


def _random(_: TextSource, rng: random.Random, length: int) -> str:
    """Strings without any language: identifiers, accented letters, marks."""

    def part() -> str:
        kind, size = rng.random(), rng.randint(1, 9)
        if kind < 0.35:
            return "".join(rng.choices(CHARSET[1:], k=size))
        if kind < 0.55:
            return "".join(rng.choices(string.ascii_letters + string.digits, k=size))
        if kind < 0.70:
            return "".join(rng.choices(string.ascii_uppercase + string.digits + "-/", k=size))
        if kind < 0.85:
            return "".join(rng.choices(string.punctuation, k=rng.randint(1, 4)))
        return rng.choice(_MARKS) + str(rng.randint(0, 99)) * rng.randint(0, 1)

    return _join(part, length, rng)


def _receipt(source: TextSource, rng: random.Random, length: int) -> str:
    return receipt(rng, lambda: source.word(rng), length)


def _contact(source: TextSource, rng: random.Random, length: int) -> str:
    return contact(rng, lambda: source.word(rng), length)


_KINDS = (_prose, _sentence, _journal, _heading, _numbers, _random, _receipt, _contact)
_WEIGHTS = (0.17, 0.15, 0.11, 0.05, 0.05, 0.07, 0.32, 0.08)
