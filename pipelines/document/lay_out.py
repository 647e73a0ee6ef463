"""`vitapps doc layout`: where lines, blocks and pictures stand on a page, without reading them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.page_json import JsonWriter, page_to_dict
from vitapps.datasets.formats.page_text import BlockKind, Line, Page, Quad
from vitapps.datasets.formats.page_writer import Origin
from vitapps.datasets.formats.picture import Picture
from vitapps.options import RunOptions
from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.formats import DetectorName, LayoutName
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.layout_network import LayoutNetwork
from vitapps.pipelines.document.page_source import open_source
from vitapps.pipelines.document.read_page import ReadSettings, find_by_network, find_on, grey_of, look_at, page_of
from vitapps.pipelines.runtime.network_facts import new_record
from vitapps.provenance import preview_path, write_run_record

ROOM = 0.12  # of a line's height
_LONGEST = 1600  # pixels of a preview
_COLOURS: dict[BlockKind, tuple[int, int, int]] = {
    "text": (64, 120, 230), "title": (220, 50, 40), "list": (20, 150, 150), "table": (32, 160, 64),
    "figure": (200, 120, 0), "caption": (150, 90, 200), "header": (130, 130, 130), "footer": (130, 130, 130),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutResult:
    """What was found and written. `blocks`, `lines` and `kinds` of all pages together; `rotation` and `skew` of the
    first; `pages` as trees (schema of `page_json.py`) where nothing was written."""

    input: Path
    out: Path | None
    blocks: int
    lines: int
    rotation: int
    skew: float
    kinds: dict[str, int]
    pages: list[dict[str, Any]]
    preview: Path | None = None


def layout_page(
    picture: Picture, settings: ReadSettings | None = None, detector: LineDetector | None = None,
    layout: LayoutNetwork | None = None,
) -> Page:  # fmt: skip
    """The page of a picture with lines that hold no words, found by components or by a `detector`, in blocks by rules,
    which leave lines on pictures out, or by a network for `layout`, which judges them itself."""
    settings = settings or ReadSettings()
    grey = grey_of(picture)
    look, page = look_at(grey, None, settings)
    if detector is None:
        found = find_on(page)
    else:
        look, page, found = find_by_network(grey, look, page, detector, settings)
    written = [line for line in found.lines if layout is not None or not line.in_picture]
    lines = [(line, Line(words=(), quad=page.back(with_room(line)))) for line in written]
    return page_of(picture, page, look, lines, found, settings, layout)


def with_room(line: FoundLine) -> Quad:
    """A line's quad with room above and below for letters that it happens not to have."""
    room = ROOM * line.height
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = line.quad
    return ((ax, ay - room), (bx, by - room), (cx, cy + room), (dx, dy + room))


def lay_out(
    source: Path, out: Path | None = None, *, preview: bool = False, detector: DetectorName = "auto",
    layout: LayoutName = "auto", weights: str | None = None, options: RunOptions | None = None, command: str = "",
) -> LayoutResult:  # fmt: skip
    """Find the layout of the pages of a picture or a PDF; with `out` write it as JSON (schema of `page_json.py`) with a
    run record, with `preview` draw the first. `detector` `network` asks the network, anything else the components,
    since without reading there is no telling that they fail; `layout` `rules` makes blocks by rules, anything else by
    the network of `weights`, None: the embedded one. Raises UnreadableInputError, OutputError, and MissingError without
    weights."""
    options = options or RunOptions()
    drawn = preview_path(out or source) if preview else None
    for path in (out, drawn):
        if path is not None:
            check_output(path, overwrite=options.overwrite, sources=[source])
    sheets = open_source(source)
    head = None if layout == "rules" else LayoutNetwork.load(weights, options)
    network = LineDetector.load(None, options) if detector == "network" else None
    pages: list[Page] = []
    for item in sheets.pages():
        picture = item.picture()
        page = replace(layout_page(picture, detector=network, layout=head), number=item.number)
        if drawn is not None and not pages:
            with atomic_path(drawn, overwrite=options.overwrite) as temporary:
                draw_layout(picture, page).save(temporary, format="PNG")
        pages.append(page)
    if out is not None:
        _write(out, source, pages, overwrite=options.overwrite)
        facts = [*((network.facts,) if network else ()), *(head.networks if head else ())]
        inputs = [sheets.content] if isinstance(sheets.content, Path) else []
        record = new_record(facts, options=options, command=command, inputs=inputs)
        record.results = {"pages": len(pages), "blocks": _blocks(pages), "lines": _lines(pages)}
        record.warnings = [warning for page in pages for warning in page.warnings]
        write_run_record(out, record)
    kinds = Counter(str(block.kind) for page in pages for block in page.blocks)
    return LayoutResult(
        input=source, out=out, blocks=_blocks(pages), lines=_lines(pages), rotation=pages[0].rotation,
        skew=pages[0].skew, kinds={kind: kinds[kind] for kind in _COLOURS if kinds[kind]}, preview=drawn,
        pages=[] if out is not None else [page_to_dict(page) for page in pages],
    )  # fmt: skip


def _write(out: Path, source: Path, pages: Sequence[Page], *, overwrite: bool) -> None:
    with atomic_path(out, overwrite=overwrite) as temporary:
        writer = JsonWriter(temporary, Origin(name=source.name))
        for page in pages:
            writer.add(page)
        writer.finish()


def _blocks(pages: Sequence[Page]) -> int:
    return sum(len(page.blocks) for page in pages)


def _lines(pages: Sequence[Page]) -> int:
    return sum(len(page.lines) for page in pages)


def draw_layout(picture: Picture, page: Page) -> Any:
    """A Pillow image of the page, at most 1600 pixels long: blocks framed in the colour of their kind and numbered in
    reading order, lines framed thinly."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture.pixels)
    scale = min(1.0, _LONGEST / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(22)
    for number, block in enumerate(page.blocks, 1):
        colour = _COLOURS[block.kind]
        for line in block.lines:
            draw.polygon([(x * scale, y * scale) for x, y in line.quad], outline=colour)
        x0, y0, x1, y1 = (np.array(block.box) * scale + (-4, -4, 4, 4)).tolist()
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=3)
        draw.text((x0, max(0, y0 - 24)), f"{number} {block.kind}", fill=colour, font=font)
    return image
