"""Weight cards: a TOML file that says what a weights file is, where it comes from and how good it is. No torch here.

A card stands beside its weights. Paths to the files are handed out only after their sha256 has been checked.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vitapps.atomic import atomic_path
from vitapps.errors import MissingError
from vitapps.provenance import sha256_file
from vitapps.require import require

FOLDER = Path(__file__).parent
Status = Literal["paper", "verified", "core"]
_PUBLISHED = ("timm:", "hf:")


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One weights file.

    `arch` and `config` go to `models.build`. `size` and `graph_size` are bytes. `preprocess` is read by the pipeline of
    `task`; `labels[i]` describes output channel i (`value`, `name`, optional `threshold`, codes). `check`: `file`,
    `sha256` and `size` of an input with samples of its outputs. `tolerance`: which precisions `auto` may use, and the
    relative error that each may have on the check (`bf16 = true`: the usual one). `scores` carry the command that
    prints them. `folder` is where the card was read from; it is not written.
    """

    name: str
    task: str
    arch: str
    config: dict[str, Any]
    summary: str
    licence: str
    weights_file: str
    sha256: str
    size: int
    graph_file: str = ""
    graph_sha256: str = ""
    graph_size: int = 0
    int8_file: str = ""
    int8_sha256: str = ""
    int8_size: int = 0
    check: dict[str, Any] = field(default_factory=dict)
    preprocess: dict[str, Any] = field(default_factory=dict)
    labels: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    scores: list[dict[str, Any]] = field(default_factory=list)
    tolerance: dict[str, Any] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)
    status: Status = "paper"
    folder: Path = FOLDER


def list_cards() -> list[str]:
    """Names of the embedded cards, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_card(name_or_path: str | Path, task: str | None = None) -> Card:
    """The card of an embedded name, of a `.toml`, or beside a `.safetensors`; MissingError with what there is, and for
    a card of another task than `task` where one is given."""
    card = _find_card(str(name_or_path))
    if task is not None and card.task != task:
        raise MissingError(f"weights '{card.name}' are for {card.task}, not for {task}", hint="`vitapps models list`")
    return card


def _find_card(text: str) -> Card:
    if text.startswith(_PUBLISHED):
        raise MissingError(
            f"{text}: a published checkpoint is a backbone without a task", hint="give a card name or a .safetensors"
        )
    if text.endswith((".toml", ".safetensors")) or "/" in text or "\\" in text:
        return _read_card(_card_path(Path(text)))
    if text not in list_cards():
        raise MissingError(f"no embedded weights '{text}'", hint=_suggestion(text))
    return _read_card(FOLDER / f"{text}.toml")


def weights_path(card: Card) -> Path:
    """The safetensors file of a card, checked: MissingError where it is absent or not the stated one."""
    return _checked(card, card.weights_file, card.sha256)


def graph_path(card: Card) -> Path:
    """The saved graph of a card, checked: MissingError where there is none or it is not the stated one."""
    if not card.graph_file:
        raise MissingError(f"weights '{card.name}' have no saved graph", hint="use --engine torch")
    return _checked(card, card.graph_file, card.graph_sha256)


def int8_path(card: Card) -> Path:
    """The int8 graph of a card, checked: MissingError where there is none or it is not the stated one."""
    if not card.int8_file:
        raise MissingError(f"{card.name}: has no int8 graph", hint="--precision exact or bf16")
    return _checked(card, card.int8_file, card.int8_sha256)


def check_path(card: Card) -> Path:
    """The check file of a card, checked: MissingError where there is none or it is not the stated one."""
    if not card.check:
        raise MissingError(f"weights '{card.name}' have no check file", hint="publish them again")
    return _checked(card, str(card.check["file"]), str(card.check["sha256"]))


def card_files(card: Card) -> list[str]:
    """Names of all files that belong to a card, besides the card itself."""
    names = [card.weights_file, card.graph_file, card.int8_file, str(card.check.get("file", ""))]
    return [name for name in names if name]


def verify(card: Card) -> None:
    """Check every file of the card against its sha256; MissingError on the first that does not hold."""
    weights_path(card)
    for name, path in ((card.graph_file, graph_path), (card.int8_file, int8_path), (card.check, check_path)):
        if name:
            path(card)


def write_card(card: Card, path: Path) -> None:
    """Write a card as TOML, atomically, replacing an older one; optional fields that say nothing are left out."""
    writer = require("tomli_w", extra="train", package="tomli-w")
    optional = {item.name for item in dataclasses.fields(Card) if not _is_required(item)}
    table = {key: value for key, value in dataclasses.asdict(card).items() if value or key not in optional}
    table.pop("folder")
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(writer.dumps(table), encoding="utf-8")


def _card_path(path: Path) -> Path:
    card = path.with_suffix(".toml") if path.suffix == ".safetensors" else path
    if path.suffix == ".safetensors" and not path.is_file():
        raise MissingError(f"{path}: no such weights file", hint=_suggestion(path.stem))
    if not card.is_file():
        beside = f" (the card of {path.name})" if card != path else ""
        raise MissingError(f"{card}: no such card{beside}", hint=_suggestion(path.stem))
    return card


def _suggestion(name: str) -> str:
    known = list_cards()
    close = difflib.get_close_matches(name, known, n=3)
    return (f"did you mean {' or '.join(close)}? " if close else "") + f"embedded: {', '.join(known) or 'none'}"


def _read_card(path: Path) -> Card:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MissingError(f"{path}: not a readable card: {error}", hint="restore the file") from None
    fields = {item.name: item for item in dataclasses.fields(Card) if item.name != "folder"}
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise MissingError(f"{path}: unknown key '{unknown[0]}'", hint=f"known: {', '.join(fields)}")
    absent = [name for name, item in fields.items() if name not in table and _is_required(item)]
    if absent:
        raise MissingError(f"{path}: the card lacks '{absent[0]}'", hint="restore the card")
    _check_types(path, table)
    return Card(**table, folder=path.parent)


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _check_types(path: Path, table: dict[str, Any]) -> None:
    dicts, lists, whole = (
        {"config", "preprocess", "training", "tolerance", "check"},
        {"labels", "scores", "limits"},
        {"size", "graph_size", "int8_size"},
    )
    for key, value in table.items():
        wanted = dict if key in dicts else list if key in lists else int if key in whole else str
        if not isinstance(value, wanted):
            raise MissingError(f"{path}: '{key}' is {value!r}, not a {wanted.__name__}", hint="restore the card")


def _checked(card: Card, file: str, sha256: str) -> Path:
    path = card.folder / file
    if not path.is_file():
        raise MissingError(
            f"{path}: the file of weights '{card.name}' is missing", hint="reinstall, or restore the file"
        )
    found = sha256_file(path)
    if found != sha256:
        raise MissingError(
            f"{path}: sha256 {found[:12]}… is not the {sha256[:12]}… of card '{card.name}'",
            hint="the file is damaged or another one: reinstall, or restore it",
        )
    return path
