"""Task `doc.ocr` of `vitapps batch`: one document -> text or a searchable PDF, the reader loaded once a worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from vitapps.pipelines.batch.task import Item, ItemResult, Task, TaskSpec, option_words
from vitapps.pipelines.document.formats import OcrFormat, TextMode
from vitapps.pipelines.document.ocr import OcrSettings, check_settings, extension, ocr
from vitapps.pipelines.document.ocr_many import reader_of
from vitapps.pipelines.document.read_page import weights_of
from vitapps.pipelines.document.recognise import DEFAULT_READER
from vitapps.provenance import preview_path, record_path

_WORDS: dict[TextMode, list[str]] = {"auto": [], "skip": ["--skip-text"], "redo": ["--redo"], "force": ["--force"]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The options of `vitapps doc ocr`; `text`: auto, skip, redo, force."""

    format: OcrFormat = "pdf"
    text: TextMode = "auto"
    pages: str = ""
    dpi: float | None = None
    pdfa: bool = False
    preview: bool = False


class BatchTask(Task):
    summary = "text of scans, photographs and PDFs, or PDFs that can be searched"
    patterns = ("**/*.pdf", "**/*.png", "**/*.jpg", "**/*.tif")
    Settings = Settings
    default_weights = DEFAULT_READER

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._settings = _ocr_settings(spec.settings)
        self._read = reader_of(spec.weights, spec.options, cached=True, settings=self._settings)

    def __call__(self, item: Item) -> ItemResult:
        found = ocr(item.input, item.out, self._read, self._settings, options=self.spec.options, command=item.command)
        files = [path for path in self.outputs(self.spec, item.out) if path.exists()]
        summary = {"pages": found.pages, "words": found.words, "confidence": found.confidence}
        return ItemResult(
            outputs=tuple(files), preview=found.preview, summary=summary, warnings=tuple(found.warnings)
        )  # fmt: skip

    @classmethod
    def weights(cls, spec: TaskSpec) -> dict[str, str]:
        return weights_of(spec.weights)

    @classmethod
    def check(cls, spec: TaskSpec) -> None:
        check_settings(_ocr_settings(spec.settings))

    @classmethod
    def extension(cls, spec: TaskSpec) -> str:
        return f"_ocr{extension(spec.settings.format)}"

    @classmethod
    def outputs(cls, spec: TaskSpec, out: Path) -> tuple[Path, ...]:
        preview = [preview_path(out)] if spec.settings.preview else []
        return (out, *preview, record_path(out))

    @classmethod
    def words(cls, spec: TaskSpec, item: Item) -> list[str]:
        settings: Settings = spec.settings
        words = ["doc", "ocr", str(item.input), "-o", str(item.out), *option_words(spec.options)]
        words += [f"--format={settings.format}", *_WORDS[settings.text]]
        words += ["--weights", spec.weights] if spec.weights else []
        words += [f"--pages={settings.pages}"] if settings.pages else []
        words += [f"--dpi={settings.dpi:g}"] if settings.dpi else []
        return words + [f"--{name}" for name in ("pdfa", "preview") if getattr(settings, name)]


def _ocr_settings(settings: Settings) -> OcrSettings:
    return OcrSettings(**asdict(settings))
