"""`vitapps doc layout`: where lines, blocks and pictures stand on a page, without reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitapps.atomic import atomic_path, check_output
from vitapps.datasets.formats.page_json import JsonWriter
from vitapps.datasets.formats.page_text import BlockKind, Line, Page, Quad
from vitapps.datasets.formats.page_writer import Origin
from vitapps.datasets.formats.picture import Picture, read_picture
from vitapps.options import RunOptions
from vitapps.pipelines.document.detect_lines import LineDetector
from vitapps.pipelines.document.formats import DetectorName, LayoutName
from vitapps.pipelines.document.found_line import FoundLine
from vitapps.pipelines.document.layout_network import LayoutNetwork
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
    """What was found and written."""

    input: Path
    out: Path | None
    blocks: int
    lines: int
    rotation: int
    skew: float
    kinds: dict[str, int]
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
    """Find the layout of a picture; with `out` write it as JSON (schema of `page_json.py`) with a run record, with
    `preview` draw it. `detector` `network` asks the network, anything else the components, since without reading there
    is no telling that they fail; `layout` `rules` makes blocks by rules, anything else by the network of
    `weights`, None: the embedded one. Raises UnreadableInputError, OutputError, and MissingError without weights."""
    options = options or RunOptions()
    drawn = preview_path(out or source) if preview else None
    for path in (out, drawn):
        if path is not None:
            check_output(path, overwrite=options.overwrite, sources=[source])
    picture = read_picture(source)
    head = None if layout == "rules" else LayoutNetwork.load(weights, options)
    network = LineDetector.load(None, options) if detector == "network" else None
    page = layout_page(picture, detector=network, layout=head)
    kinds = {str(kind): sum(block.kind == kind for block in page.blocks) for kind in _COLOURS}
    if out is not None:
        with atomic_path(out, overwrite=options.overwrite) as temporary:
            writer = JsonWriter(temporary, Origin(name=source.name))
            writer.add(page)
            writer.finish()
        facts = [*((network.facts,) if network else ()), *((head.facts, head.detector.facts) if head else ())]
        record = new_record(facts, options=options, command=command, inputs=[source])
        record.results = {"blocks": len(page.blocks), "lines": len(page.lines)}
        record.warnings = list(page.warnings)
        write_run_record(out, record)
    if drawn is not None:
        with atomic_path(drawn, overwrite=options.overwrite) as temporary:
            draw_layout(picture, page).save(temporary, format="PNG")
    return LayoutResult(
        input=source, out=out, blocks=len(page.blocks), lines=len(page.lines), rotation=page.rotation, skew=page.skew,
        kinds={kind: count for kind, count in kinds.items() if count}, preview=drawn,
    )  # fmt: skip


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
