"""PDF/A-2b (ISO 19005-2) as far as a file permits without drawing it anew: what the level demands is added, what it
forbids and nobody sees is taken out, and what stands in its way is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ACTIONS = ("/Launch", "/Sound", "/Movie", "/ResetForm", "/ImportData", "/JavaScript", "/Hide", "/SetOCGState")
_NO_FILTER = ("/LZWDecode", "/Crypt")
_DEEPEST = 8  # dictionaries within one another
_PRINT, _HIDDEN = 4, 1 | 2 | 32  # annotation flags


def make_archival(pdf: Any, *, title: str = "") -> list[str]:
    """Turn the pikepdf document into PDF/A-2b; what remains against it, one sentence each (empty: nothing found)."""
    _add_intent(pdf)
    _remove_forbidden(pdf)
    with pdf.open_metadata(set_pikepdf_as_editor=False) as meta:
        meta.load_from_docinfo(pdf.docinfo, delete_missing=False, raise_failure=False)
        meta["pdfaid:part"], meta["pdfaid:conformance"] = "2", "B"
        if title and not meta.get("dc:title"):
            meta["dc:title"] = title
    return _obstacles(pdf)


def _add_intent(pdf: Any) -> None:
    """sRGB as what device colours mean (6.2.3)."""
    from pikepdf import Array, Dictionary, Name, String
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    name = String("sRGB IEC61966-2.1")
    intent = Dictionary(
        Type=Name.OutputIntent, S=Name("/GTS_PDFA1"), OutputConditionIdentifier=name, Info=name,
        DestOutputProfile=pdf.make_stream(profile, N=3),
    )  # fmt: skip
    pdf.Root["/OutputIntents"] = Array([pdf.make_indirect(intent)])


def _remove_forbidden(pdf: Any) -> None:
    """Scripts, actions and attachments (6.6.1, 6.8), and annotations that do not say that they are printed (6.3.2)."""
    for key in ("/AA", "/OpenAction") if _is_action(pdf.Root.get("/OpenAction")) else ("/AA",):
        if key in pdf.Root:
            del pdf.Root[key]
    names = pdf.Root.get("/Names")
    for key in ("/JavaScript", "/EmbeddedFiles"):
        if names is not None and key in names:
            del names[key]
    form = pdf.Root.get("/AcroForm")
    for key in ("/XFA", "/NeedAppearances"):
        if form is not None and key in form:
            del form[key]
    for item in pdf.objects:
        if hasattr(item, "keys") and str(item.get("/Subtype", "")) == "/Image" and "/Interpolate" in item:
            del item["/Interpolate"]  # 6.2.8: a viewer may not invent pixels
    for page in pdf.pages:
        if "/AA" in page.obj:
            del page.obj["/AA"]
        for note in page.obj.get("/Annots", ()):
            _settle(note)


def _settle(note: Any) -> None:
    if not hasattr(note, "keys"):
        return
    for key in ("/AA", "/A"):
        if key in note and (key == "/AA" or _is_action(note.get(key))):
            del note[key]
    if str(note.get("/Subtype", "")) != "/Popup":
        note["/F"] = (int(note.get("/F", 0)) | _PRINT) & ~_HIDDEN


def _is_action(found: Any) -> bool:
    return hasattr(found, "keys") and str(found.get("/S", "")) in _ACTIONS


def _obstacles(pdf: Any) -> list[str]:
    """What cannot be mended here, each kind once."""
    found: set[str] = set()
    for item in (inner for whole in pdf.objects for inner in _dictionaries(whole)):
        kind, subtype = str(item.get("/Type", "")), str(item.get("/Subtype", ""))
        if kind == "/FontDescriptor" and not any(key in item for key in ("/FontFile", "/FontFile2", "/FontFile3")):
            found.add(f"the font {str(item.get('/FontName', 'without a name')).lstrip('/')} is not embedded")
        if kind == "/Font" and subtype in ("/Type1", "/TrueType") and "/FontDescriptor" not in item:
            found.add(f"the font {str(item.get('/BaseFont', 'without a name')).lstrip('/')} is not embedded")
        if str(item.get("/ColorSpace", "")) == "/DeviceCMYK":
            found.add("a picture has CMYK colours that no profile explains")
        filters = item.get("/Filter")
        if filters is not None and any(name in str(filters) for name in _NO_FILTER):
            found.add("a stream is coded by LZW or encrypted")
        if subtype == "/PS":
            found.add("it holds PostScript")
    return sorted(found)


def _dictionaries(item: Any, depth: int = 0) -> Iterator[Any]:
    """A dictionary or stream and those that are written within it; what is referred to is an object of its own."""
    if not hasattr(item, "keys") or depth > _DEEPEST:
        return
    yield item
    for key in item.keys():  # noqa: SIM118 -- a stream cannot be iterated
        value = item.get(key)
        if hasattr(value, "keys") and not value.is_indirect:
            yield from _dictionaries(value, depth + 1)
