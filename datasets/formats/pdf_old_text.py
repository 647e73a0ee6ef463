"""Takes the invisible text out of a page, so that a page which is read again does not hold its words twice.

Invisible is what is shown in text rendering mode 3 (ISO 32000-1, 9.3.6), on the page itself or in a form that it
draws: the layers of OCRmyPDF, tesseract, ABBYY and of this program. Nothing else of the page changes.
"""

from __future__ import annotations

from typing import Any

_SHOW = frozenset(("Tj", "TJ", "'", '"'))
_PAINT = frozenset(("S", "s", "f", "F", "f*", "B", "B*", "b", "b*", "sh", "Do", "INLINE IMAGE", *_SHOW))
_INVISIBLE = 3
_DEEPEST = 12  # forms within forms; a hostile file may nest them without end


def remove_invisible_text(pdf: Any, page: Any) -> int:
    """Take it out of `page` (of the pikepdf document `pdf`); how many strings there were. Forms that then draw nothing
    are drawn no more."""
    removed: int = _clean(pdf, page.obj, page, 0, {})[0]
    return removed


def _clean(pdf: Any, holder: Any, content: Any, depth: int, seen: dict[tuple[int, int], tuple[int, bool]]) -> Any:
    """(strings removed, whether something is still drawn) for a page or a form, whose stream is replaced if need be."""
    import pikepdf

    try:
        instructions = list(pikepdf.parse_content_stream(content))
    except (pikepdf.PdfError, ValueError, TypeError):
        return 0, True  # what cannot be parsed stays as it is
    state = _State(pdf, holder, depth, seen)
    kept = [new for instruction in instructions for new in state.keep(instruction)]
    if state.removed and state.own:
        _replace(pdf, holder, pikepdf.unparse_content_stream(kept))
    return state.removed, any(str(item.operator) in _PAINT for item in kept)


class _State:
    """Follows the text rendering mode through a content stream."""

    def __init__(self, pdf: Any, holder: Any, depth: int, seen: dict[tuple[int, int], tuple[int, bool]]) -> None:
        self._pdf, self._holder, self._depth, self._seen = pdf, holder, depth, seen
        self._mode, self._stack = 0, list[int]()
        self.removed, self.own = 0, False

    def keep(self, instruction: Any) -> list[Any]:
        """What stays of one instruction."""
        name = str(instruction.operator)
        if name == "q":
            self._stack.append(self._mode)
        elif name == "Q" and self._stack:
            self._mode = self._stack.pop()
        elif name == "Tr" and len(instruction.operands) == 1:
            self._mode = int(instruction.operands[0])
        elif name in _SHOW and self._mode == _INVISIBLE:
            self.removed += 1
            self.own = True
            return _moves(name, instruction)
        elif name == "Do" and len(instruction.operands) == 1:
            return self._form(str(instruction.operands[0]), instruction)
        return [instruction]

    def _form(self, name: str, instruction: Any) -> list[Any]:
        found = self._holder.get("/Resources", {}).get("/XObject", {})
        form = found.get(name) if hasattr(found, "get") else None
        if form is None or str(form.get("/Subtype", "")) != "/Form" or self._depth >= _DEEPEST:
            return [instruction]
        key = form.objgen
        if key not in self._seen:
            self._seen[key] = (0, True)  # a form that draws itself
            self._seen[key] = _clean(self._pdf, form, form, self._depth + 1, self._seen)
        removed, draws = self._seen[key]
        self.removed += removed
        if removed and not draws:
            self.own = True
            return []
        return [instruction]


def _moves(name: str, instruction: Any) -> list[Any]:
    """What `'` and `"` do beside showing: the next line, word and character spacing."""
    import pikepdf

    def made(operator: str, *operands: Any) -> Any:
        return pikepdf.ContentStreamInstruction(list(operands), pikepdf.Operator(operator))

    if name == "'":
        return [made("T*")]
    if name == '"' and len(instruction.operands) == 3:
        return [made("Tw", instruction.operands[0]), made("Tc", instruction.operands[1]), made("T*")]
    return []


def _replace(pdf: Any, holder: Any, content: bytes) -> None:
    if "/Contents" in holder or str(holder.get("/Type", "")) == "/Page":
        holder["/Contents"] = pdf.make_stream(content)
    else:
        holder.write(content)
