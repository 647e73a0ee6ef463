"""PAGE-XML 2019-07-15 (PRImA; Pletschacher and Antonacopoulos 2010): one file a page, with reading order.

The format knows no second page: of several, the first takes the name asked for and the others stand beside it as
NAME_0002.xml and so on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vitapps.datasets.formats.line_metrics import metrics
from vitapps.datasets.formats.page_text import Block, BlockKind, Line, Page, Quad, Word, around, box_of, quad_of
from vitapps.datasets.formats.page_writer import SOFTWARE, Origin, element, fragment, legal, points
from vitapps.datasets.formats.xml_tree import XmlNode, corners, read_xml

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
_TYPES: dict[BlockKind, str] = {
    "text": "paragraph", "title": "heading", "list": "other", "caption": "caption", "header": "header",
    "footer": "footer",
}  # fmt: skip
_REGIONS: dict[BlockKind, str] = {"table": "TableRegion", "figure": "ImageRegion"}


class PageXmlWriter:
    """A file for each page."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self._path, self._origin, self._written = path, origin, 0

    def add(self, page: Page) -> None:
        self._written += 1
        page_path(self._path, self._written).write_text(document(page, self._origin), encoding="utf-8")

    def finish(self) -> None:
        return None


def page_path(path: Path, number: int) -> Path:
    """`book.page.xml` for page 1, `book_0002.page.xml` for page 2."""
    if number == 1:
        return path
    name, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{name}_{number:04d}{dot}{suffixes}")


def document(page: Page, origin: Origin) -> str:
    """The whole file of one page."""
    root = ElementTree.Element("PcGts", {"xmlns": NAMESPACE, "pcGtsId": f"page_{page.number}"})
    facts = element(root, "Metadata")
    element(facts, "Creator").text = SOFTWARE
    for name in ("Created", "LastChange"):
        element(facts, name).text = origin.written.strftime("%Y-%m-%dT%H:%M:%SZ")
    size = {"imageWidth": page.width, "imageHeight": page.height}
    sheet = element(
        root, "Page", imageFilename=Path(origin.name).name or "page", **size,
        imageXResolution=f"{page.dpi[0]:.1f}", imageYResolution=f"{page.dpi[1]:.1f}", imageResolutionUnit="PPI",
        readingDirection="left-to-right",
    )  # fmt: skip
    if page.blocks:
        group = element(element(sheet, "ReadingOrder"), "OrderedGroup", id="reading_order")
        for index in range(len(page.blocks)):
            element(group, "RegionRefIndexed", index=index, regionRef=f"region_{index + 1}")
    for number, block in enumerate(page.blocks, 1):
        _add_block(sheet, f"region_{number}", block)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + fragment(root) + "\n"


def _add_block(sheet: ElementTree.Element, name: str, block: Block) -> None:
    """Tables and figures hold their text in a region within."""
    if block.kind in _REGIONS:
        outer = element(sheet, _REGIONS[block.kind], id=name)
        element(outer, "Coords", points=points(quad_of(block.box)))
        if block.lines:
            _add_text(outer, f"{name}_text", block, "paragraph")
    else:
        custom = "structure {type:list;}" if block.kind == "list" else None
        _add_text(sheet, name, block, _TYPES[block.kind], custom)


def _add_text(parent: ElementTree.Element, name: str, block: Block, kind: str, custom: str | None = None) -> None:
    region = element(parent, "TextRegion", id=name, type=kind, custom=custom)
    element(region, "Coords", points=points(quad_of(block.box)))
    for number, line in enumerate(block.lines, 1):
        _add_line(region, f"{name}_line_{number}", line)
    _add_content(region, block.text)


def _add_line(region: ElementTree.Element, name: str, line: Line) -> None:
    row = element(region, "TextLine", id=name)
    element(row, "Coords", points=points(line.quad))
    found = metrics(line)
    element(row, "Baseline", points=points((found.start, found.end)))
    for number, word in enumerate(line.words, 1):
        item = element(row, "Word", id=f"{name}_word_{number}")
        element(item, "Coords", points=points(word.quad))
        _add_content(item, word.text, word.confidence)
    _add_content(row, line.text, line.confidence)


def _add_content(parent: ElementTree.Element, text: str, confidence: float | None = None) -> None:
    given = None if confidence is None else f"{min(max(confidence, 0.0), 1.0):.4f}"
    element(element(parent, "TextEquiv", conf=given), "Unicode").text = legal(text)


def read_page_xml(path: Path) -> list[Page]:
    """The page of a PAGE file of any version, regions by ReadingOrder where there is one; a list, as all readers give.

    Lines without words become one word for each part between spaces, placed by their number of letters.
    """
    root = read_xml(path, "PcGts")
    pages = []
    for number, sheet in enumerate(root.all("Page"), 1):
        refs = [node for group in sheet.all("OrderedGroup") for node in group.all("RegionRefIndexed")]
        order = {node.get("regionRef"): node.number("index") for node in refs}
        regions = [node for node in sheet.children if node.tag.endswith("Region")]
        regions.sort(key=lambda node: order.get(node.get("id"), float(len(order))))
        size = int(sheet.number("imageWidth")), int(sheet.number("imageHeight"))
        resolution = sheet.number("imageXResolution", 0.0), sheet.number("imageYResolution", 0.0)
        pages.append(Page(
            width=size[0], height=size[1], number=number, dpi=resolution if all(resolution) else (300.0, 300.0),
            dpi_guessed=not all(resolution), blocks=tuple(_read_block(node) for node in regions),
        ))  # fmt: skip
    return pages


def _read_block(node: XmlNode) -> Block:
    by_region = {name: kind for kind, name in _REGIONS.items()}
    by_type = {name: kind for kind, name in _TYPES.items()}
    kind: Any = by_region.get(node.tag) or by_type.get(node.get("type"), "text")
    return Block(lines=tuple(_read_line(row) for row in node.all("TextLine")), kind=kind, box=box_of(_outline(node)))


def _read_line(row: XmlNode) -> Line:
    quad = _outline(row)
    words = tuple(
        Word(text=_content(node), quad=_outline(node), confidence=_confidence(node))
        for node in row.children
        if node.tag == "Word" and _content(node)
    )
    return Line(words=words or _spread(_content(row), quad, _confidence(row)), quad=quad)


def _spread(text: str, quad: Quad, confidence: float) -> tuple[Word, ...]:
    x0, y0, x1, y1 = box_of(quad)
    per_letter, at, words = (x1 - x0) / max(len(text), 1), 0, []
    for part in text.split():
        at = text.index(part, at)
        box = (x0 + at * per_letter, y0, x0 + (at + len(part)) * per_letter, y1)
        words.append(Word(text=part, quad=quad_of(box), confidence=confidence))
        at += len(part)
    return tuple(words)


def _outline(node: XmlNode) -> Quad:
    """Corners of the Coords; the box around them where there are more or fewer than four."""
    own = [child for child in node.children if child.tag == "Coords"]
    found = corners(own[0].get("points")) if own else []
    if len(found) == 4:
        return (found[0], found[1], found[2], found[3])
    return quad_of(around([(x, y, x, y) for x, y in found]))


def _equivalents(node: XmlNode) -> list[XmlNode]:
    return [child for child in node.children if child.tag == "TextEquiv"]


def _content(node: XmlNode) -> str:
    return "".join(part.text for item in _equivalents(node)[:1] for part in item.all("Unicode"))


def _confidence(node: XmlNode) -> float:
    found = _equivalents(node)
    return found[0].number("conf", 1.0) if found else 1.0
