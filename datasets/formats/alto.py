"""ALTO 4.4 (Library of Congress, loc.gov/standards/alto): all pages of a document in one file, with ReadingOrder.

A word that a hyphen divides over two lines says so (HYP, SUBS_TYPE, SUBS_CONTENT), as the standard wants it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from vitapps import __version__
from vitapps.datasets.formats.line_metrics import is_upright, metrics
from vitapps.datasets.formats.page_text import Block, BlockKind, Box, Line, Page, Quad, Word, quad_of
from vitapps.datasets.formats.page_writer import Origin, element, fragment, legal, points, whole
from vitapps.datasets.formats.xml_tree import XmlNode, corners, read_xml
from vitapps.errors import UnreadableInputError

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"
_HEAD = f"""<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="{NAMESPACE} {_SCHEMA}" SCHEMAVERSION="4.4">
<Description>
<MeasurementUnit>pixel</MeasurementUnit>
<sourceImageInformation><fileName>{{name}}</fileName></sourceImageInformation>
<Processing ID="OCR_1">
<processingDateTime>{{written}}</processingDateTime>
<processingSoftware><softwareCreator>vitapps</softwareCreator><softwareName>vitapps doc ocr</softwareName>
<softwareVersion>{__version__}</softwareVersion></processingSoftware>
</Processing>
</Description>
"""


class AltoWriter:
    """ReadingOrder stands before the pages that it orders: these wait in a temporary file."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path, self._origin = path, origin
        self._pages = tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent)  # noqa: SIM115
        self._order: list[str] = []

    def add(self, page: Page) -> None:
        self._order += [_block_id(page, number) for number in range(len(page.blocks))]
        self._pages.write(fragment(page_element(page)) + "\n")

    def finish(self) -> None:
        written = self._origin.written.strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._pages as pages, self._path.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(_HEAD.format(name=escape(legal(Path(self._origin.name).name)), written=written))
            tags = ElementTree.Element("Tags")
            for kind in get_args(BlockKind):
                element(tags, "LayoutTag", ID=_tag(kind), LABEL=kind)
            stream.write(fragment(tags) + "\n")
            if self._order:
                stream.write(fragment(_reading_order(self._order)) + "\n")
            stream.write("<Layout>\n")
            pages.seek(0)
            while part := pages.read(1 << 16):
                stream.write(part)
            stream.write("</Layout>\n</alto>\n")


def page_element(page: Page) -> ElementTree.Element:
    """The `Page` of one page, without a namespace prefix: the root declares the default one."""
    root = ElementTree.Element("Page", {
        "ID": f"page_{page.number}", "PHYSICAL_IMG_NR": str(page.number),
        "WIDTH": str(page.width), "HEIGHT": str(page.height),
    })  # fmt: skip
    space = element(root, "PrintSpace", **_place((0, 0, page.width, page.height)))
    for number, block in enumerate(page.blocks):
        name = _block_id(page, number)
        place = {**_place(block.box), "TAGREFS": _tag(block.kind)}
        if block.kind == "figure" and not block.lines:
            element(space, "Illustration", ID=name, **place)
            continue
        area = element(space, "TextBlock", ID=name, **place)
        for index, line in enumerate(block.lines):
            before = block.lines[index - 1] if index else None
            after = block.lines[index + 1] if index + 1 < len(block.lines) else None
            _add_line(area, f"{name}_line_{index + 1}", line, before, after)
    return root


def _add_line(area: ElementTree.Element, name: str, line: Line, before: Line | None, after: Line | None) -> None:
    found = metrics(line)
    row = element(area, "TextLine", ID=name, **_place(line.box), BASELINE=points((found.start, found.end)))
    _add_shape(row, line.quad)
    for index, word in enumerate(line.words):
        if index:
            x1, (x2, y2, *_) = whole(line.words[index - 1].box)[2], whole(word.box)
            element(row, "SP", HPOS=x1, VPOS=y2, WIDTH=max(0, x2 - x1))
        substitute: dict[str, object] = {}
        divided = index == len(line.words) - 1 and _divided(line, after)
        if divided and after:
            substitute = {"SUBS_TYPE": "HypPart1", "SUBS_CONTENT": word.text[:-1] + after.words[0].text}
        elif index == 0 and before and _divided(before, line):
            substitute = {"SUBS_TYPE": "HypPart2", "SUBS_CONTENT": before.words[-1].text[:-1] + word.text}
        content = word.text[:-1] if divided else word.text
        place = {**_place(word.box), "CONTENT": content, "WC": f"{word.confidence:.3f}"}
        string = element(row, "String", ID=f"{name}_word_{index + 1}", **place, **substitute)
        _add_shape(string, word.quad)
        if divided:
            x0, y0, x1, _ = whole(word.box)
            width = round((x1 - x0) / max(len(word.text), 1))
            element(row, "HYP", HPOS=x1 - width, VPOS=y0, WIDTH=width, CONTENT=word.text[-1])


def _divided(line: Line, after: Line | None) -> bool:
    """Whether the last word of `line` goes on in `after`: a hyphen between letters, the second of them small."""
    if after is None or not line.words or not after.words:
        return False
    head, tail = line.words[-1].text, after.words[0].text
    return len(head) > 1 and head[-1] in "-\u2010\u00ad" and head[-2].isalpha() and tail[:1].islower()


def _add_shape(parent: ElementTree.Element, quad: Quad) -> None:
    if not is_upright(quad):
        element(element(parent, "Shape"), "Polygon", POINTS=points(quad))


def _reading_order(names: list[str]) -> ElementTree.Element:
    root = ElementTree.Element("ReadingOrder")
    group = element(root, "OrderedGroup", ID="reading_order")
    for number, name in enumerate(names, 1):
        element(group, "ElementRef", ID=f"order_{number}", REF=name)
    return root


def _block_id(page: Page, number: int) -> str:
    return f"page_{page.number}_block_{number + 1}"


def _tag(kind: str) -> str:
    return f"kind_{kind}"


def _place(box: Box) -> dict[str, object]:
    x0, y0, x1, y1 = whole(box)
    return {"HPOS": x0, "VPOS": y0, "WIDTH": x1 - x0, "HEIGHT": y1 - y0}


def read_alto(path: Path) -> list[Page]:
    """The pages of an ALTO file of any version, blocks by ReadingOrder where there is one, else as they stand."""
    root = read_xml(path, "alto")
    unit = "".join(node.text for node in root.all("MeasurementUnit"))
    if unit.strip() not in ("", "pixel"):
        raise UnreadableInputError(f"{path}: measured in {unit}", hint="only pixels can be compared")
    order = {node.get("REF"): number for number, node in enumerate(root.all("ElementRef"))}
    kinds = {node.get("ID"): node.get("LABEL") for node in root.all("LayoutTag")}
    pages = []
    for number, node in enumerate(root.all("Page"), 1):
        found = node.all("TextBlock") + node.all("Illustration")
        found.sort(key=lambda area: order.get(area.get("ID"), len(order)))
        blocks = tuple(_read_block(area, kinds.get(area.get("TAGREFS").split(" ")[0], "text")) for area in found)
        pages.append(
            Page(width=int(node.number("WIDTH")), height=int(node.number("HEIGHT")), number=number, blocks=blocks)
        )
    return pages


def _read_block(area: XmlNode, label: str) -> Block:
    kind: Any = label if label in get_args(BlockKind) else "text"
    x0, y0, x1, y1 = _read_box(area)
    return Block(lines=tuple(_read_line(row) for row in area.all("TextLine")), kind=kind, box=(x0, y0, x1, y1))


def _read_line(row: XmlNode) -> Line:
    words: list[Word] = []
    for node in row.children:
        if node.tag == "String" and node.get("CONTENT"):
            confidence = node.number("WC", 1.0)
            words.append(Word(text=node.get("CONTENT"), quad=_read_quad(node), confidence=confidence))
        elif node.tag == "HYP" and words:
            last = words.pop()
            text = last.text + (node.get("CONTENT") or "-")
            words.append(Word(text=text, quad=last.quad, confidence=last.confidence))
    return Line(words=tuple(words), quad=_read_quad(row))


def _read_box(node: XmlNode) -> Box:
    x, y = node.number("HPOS"), node.number("VPOS")
    return (x, y, x + node.number("WIDTH"), y + node.number("HEIGHT"))


def _read_quad(node: XmlNode) -> Quad:
    polygon = [inner for shape in node.children if shape.tag == "Shape" for inner in shape.all("Polygon")]
    found = corners(polygon[0].get("POINTS")) if polygon else []
    return (found[0], found[1], found[2], found[3]) if len(found) == 4 else quad_of(_read_box(node))
