"""XML as nodes without namespaces: what the readers of ALTO and PAGE need, whatever version a file is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from vitapps.errors import UnreadableInputError


@dataclass(frozen=True, slots=True)
class XmlNode:
    """`tag` and attributes by their local names."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    children: list[XmlNode] = field(default_factory=list)

    def get(self, name: str) -> str:
        """The attribute, empty where there is none."""
        return self.attributes.get(name, "")

    def number(self, name: str, default: float = 0.0) -> float:
        """The attribute as a number; `default` where there is none or no number."""
        try:
            return float(self.attributes[name])
        except (KeyError, ValueError):
            return default

    def all(self, tag: str) -> list[XmlNode]:
        """Nodes of that name at any depth, in order; not those within one another."""
        found = []
        for child in self.children:
            found += [child] if child.tag == tag else child.all(tag)
        return found


def read_xml(path: Path, root: str) -> XmlNode:
    """The tree of `path`, whose root must be named `root`; raises UnreadableInputError."""
    try:
        tree = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UnreadableInputError(f"{path}: not XML that can be read: {error}", hint="write it again") from None
    found = _node(tree)
    if found.tag != root:
        raise UnreadableInputError(f"{path}: its root is {found.tag}, not {root}", hint="is it the right format?")
    return found


def corners(text: str) -> list[tuple[float, float]]:
    """`x,y x,y ...` (or `x y x y`) as points; empty where it is neither."""
    try:
        values = [float(value) for value in text.replace(",", " ").split()]
    except ValueError:
        return []
    return list(zip(values[::2], values[1::2], strict=False))


def _node(element: ElementTree.Element) -> XmlNode:
    children = [_node(child) for child in element if isinstance(child.tag, str)]
    attributes = {_local(name): value for name, value in element.attrib.items()}
    return XmlNode(_local(element.tag), attributes, element.text or "", children)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
