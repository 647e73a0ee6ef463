"""Tesseract as the engine beside ours: run as a program where it is installed, one thread, its hOCR read."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vitapps.datasets.formats.hocr import read_hocr
from vitapps.datasets.formats.page_text import Page
from vitapps.errors import MissingError, UnreadableInputError

_SECONDS = 600.0  # for one page


@dataclass(frozen=True, kw_only=True, slots=True)
class Tesseract:
    """The installed program and what it says of its version."""

    program: str
    version: str

    @classmethod
    def find(cls) -> Tesseract:
        """The program on the path; raises MissingError."""
        program = shutil.which("tesseract")
        if program is None:
            raise MissingError("tesseract is not installed", hint="apt-get install tesseract-ocr")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        return cls(program=program, version=(said.stdout or said.stderr).splitlines()[0].strip())

    def read(self, image: Path, *, language: str = "eng", dpi: int = 300) -> tuple[Page, float]:
        """The page and the CPU seconds that it took; raises UnreadableInputError for a page that it refuses."""
        with tempfile.TemporaryDirectory(prefix="vitapps-") as folder:
            base = Path(folder) / "page"
            words = [self.program, str(image), str(base), "-l", language, "--dpi", str(dpi), "hocr"]
            before = _children()
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=_SECONDS, check=False,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            )  # fmt: skip
            seconds = _children() - before
            if done.returncode != 0:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise UnreadableInputError(f"{image}: tesseract: {reason}", hint=f"is {language} installed?")
            return read_hocr(base.with_suffix(".hocr"))[0], seconds


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
