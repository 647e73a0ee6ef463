"""Blocks of a page by the rules and the layout head together: the rules propose, the head joins and names them.

elements        `layout_elements.py`: lines as they were found, and what the rules hold for pictures and ruled tables
blocks          the rules' blocks, and every other element alone; those whose mean link is likely enough are
                joined from the surest pair on (average linkage)
kind            the likeliest for all elements of a block together
nested          a piece of a table inside what the rules hold for the table joins it; pieces of pictures likewise
order           that of the rules (`reading_order.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import BlockKind, Box, around, shared_area
from vitapps.errors import MissingError
from vitapps.options import RunOptions
from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.layout import CAPTION, Group, before_what_is_below
from vitapps.pipelines.document.layout_elements import Elements, elements_of
from vitapps.pipelines.document.reading_order import rows_of
from vitapps.pipelines.runtime.network_facts import NetworkFacts

DEFAULT_WEIGHTS = "page-layout"
TASK = "doc.layout"
KINDS: tuple[BlockKind | None, ...] = (None, "text", "title", "list", "table", "figure", "caption", "header", "footer")
JOINED = 0.7  # mean chance of the links between two blocks from which they are one: the rules parted them
NESTED = 0.6  # of a piece of a table or a picture lies in it
MOST = 700  # elements of a page: pairs are looked at, so that a page of more is left to the rules
Floats = NDArray[np.float64]
Network = Callable[[NDArray[np.float32]], Sequence[NDArray[np.float32]]]  # B n F -> kinds, links


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutNetwork:
    """A compiled layout head and the text detector whose features it was trained on."""

    network: Network
    detector: LineDetector
    facts: NetworkFacts = field(default_factory=NetworkFacts)

    @classmethod
    def load(cls, weights: str | None = None, options: RunOptions | None = None) -> LayoutNetwork:
        """A card by name or path, and the detector that it names, from beside it or else the embedded one, compiled;
        raises MissingError for weights of another task, and where it was trained on another detector."""
        from vitapps.shared_backbones.engines.load import load_model
        from vitapps.shared_backbones.weights.cards import load_card

        card = load_card(weights or DEFAULT_WEIGHTS, TASK)
        trunk = str(card.preprocess["trunk"])
        beside = card.folder / f"{trunk}.toml"
        detector = LineDetector.load(str(beside) if beside.exists() else trunk, options)
        if detector.facts.sha256 != card.preprocess["trunk_sha256"]:
            raise MissingError(
                f"{card.name}: was trained on another {trunk}",
                hint="put that one beside it, or train it again: vitapps doc train layout",
            )
        model = load_model(card, options or RunOptions())
        return cls(network=model, detector=detector, facts=NetworkFacts.of(card, model))

    @property
    def networks(self) -> tuple[NetworkFacts, ...]:
        """Facts of the networks that are asked."""
        return self.facts, self.detector.facts

    def groups(
        self, grey: NDArray[np.uint8], lines: Sequence[FoundLine], pictures: Sequence[Box], tables: Sequence[Box],
        *, proposed: Sequence[Sequence[int]], order: Sequence[int], texts: Sequence[str] = (),
    ) -> list[Group] | None:  # fmt: skip
        """The blocks of an upright page: the `proposed` lines of each, joined, in the order of the rules, `order` of
        all lines; lines that look like nothing are left out unless they have been read to `texts`. None for a page of
        too many elements."""
        elements = elements_of(grey, lines, pictures, tables, self.detector)
        if not elements.lines or len(elements.boxes) > MOST:
            return None
        kinds, links = (answer[0] for answer in self.network(elements.rows[None]))
        parts = joined(chances(links), proposed)
        groups = [group for part in parts if (group := block_of(part, kinds, elements, texts))]
        return in_order(with_something_to_say(nested(groups, elements.boxes), texts), elements.boxes, order)


def chances(logits: NDArray[np.float32]) -> Floats:
    """Logistic function."""
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64).clip(-40, 40))), np.float64)


def joined(links: Floats, proposed: Sequence[Sequence[int]] = ()) -> list[list[int]]:
    """Parts of n elements by the chances n n that two belong together: average linkage, the surest pair first, from
    the `proposed` parts and all other elements alone."""
    known = {place for part in proposed for place in part}
    parts = [*map(list, proposed), *([place] for place in range(len(links)) if place not in known)]
    share = np.zeros((len(parts), len(links)))
    for number, part in enumerate(parts):
        share[number, part] = 1 / len(part)
    mean = share @ links @ share.T
    np.fill_diagonal(mean, 0.0)
    while len(parts) > 1:
        one, other = sorted(divmod(int(mean.argmax()), len(parts)))
        if mean[one, other] < JOINED:
            break
        weight = len(parts[one]) / (len(parts[one]) + len(parts[other]))
        row = weight * mean[one] + (1 - weight) * mean[other]
        mean[one], mean[:, one], mean[one, one] = row, row, 0.0
        mean = np.delete(np.delete(mean, other, axis=0), other, axis=1)
        parts[one] += parts.pop(other)
    return parts


def block_of(
    part: Sequence[int], kinds: NDArray[np.float32], elements: Elements, texts: Sequence[str] = ()
) -> Group | None:  # fmt: skip
    """The block of some elements, None for what is nothing; a line that has been read is never nothing."""
    chance = kinds[list(part)].astype(np.float64)
    total = (chance - np.logaddexp.reduce(chance, axis=1, keepdims=True)).sum(axis=0)
    lines = tuple(place for place in part if place < elements.lines)
    if texts and lines:
        total[0] = -np.inf
    kind = KINDS[int(total.argmax())]
    if kind == "text" and texts and CAPTION.match(texts[lines[0]]):
        kind = "caption"
    whole = kind in ("figure", "table") and len(lines) < len(part)
    if kind is None or not (lines or whole):
        return None
    box = around([_box(elements.boxes[place]) for place in part]) if whole else (0.0, 0.0, 0.0, 0.0)
    return Group(lines=lines, kind=kind, box=box)


def nested(groups: Sequence[Group], boxes: Floats) -> list[Group]:
    """Blocks, a table or picture that lies mostly in a larger one joined to it."""
    areas = [group.box if any(group.box) else around([_box(boxes[line]) for line in group.lines]) for group in groups]
    sizes = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in areas]
    found: list[Group] = []
    held: list[Box] = []
    for place in sorted(range(len(groups)), key=lambda item: -sizes[item]):
        group, area = groups[place], areas[place]
        home = next((at for at, other in enumerate(found) if _joins(group, area, other, held[at])), None)
        if home is None:
            found.append(group)
            held.append(area)
        else:
            held[home] = around([held[home], area])
            found[home] = Group(lines=found[home].lines + group.lines, kind=group.kind, box=held[home])
    return found


def with_something_to_say(groups: Sequence[Group], texts: Sequence[str] = ()) -> list[Group]:
    """Blocks, captions of a page without picture or table as text, but for those whose words say what they are."""
    if any(group.kind in ("figure", "table") for group in groups):
        return list(groups)
    return [
        replace(group, kind="text")
        if group.kind == "caption" and not (texts and CAPTION.match(texts[group.lines[0]]))
        else group
        for group in groups
    ]


def _joins(group: Group, area: Box, other: Group, larger: Box) -> bool:
    """Whether a block is a piece of another of its kind, whose box is larger."""
    size = (area[2] - area[0]) * (area[3] - area[1])
    alike = group.kind in ("table", "figure") and other.kind == group.kind
    return alike and shared_area(area, larger) > NESTED * size


def _box(row: Floats) -> Box:
    x0, y0, x1, y1 = row.tolist()
    return (x0, y0, x1, y1)


def in_order(groups: Sequence[Group], boxes: Floats, order: Sequence[int]) -> list[Group]:
    """Blocks by the first of their lines in `order`, lines in it too, those of a table row by row; a picture without
    lines stands before the first block below it."""
    rank = {line: place for place, line in enumerate(order)}
    found: list[Group] = []
    for group in sorted((group for group in groups if group.lines), key=lambda item: min(rank[i] for i in item.lines)):
        if group.kind == "table":
            rows = rows_of(boxes, np.array(group.lines))
            lines = tuple(int(line) for row in rows for line in row)
        else:
            lines = tuple(sorted(group.lines, key=rank.__getitem__))
        found.append(Group(lines=lines, kind=group.kind, box=group.box))
    for group in groups:
        if not group.lines:
            found.insert(before_what_is_below(found, boxes, group.box), group)
    return found
