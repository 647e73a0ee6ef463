"""What `vitapps doc ocr` costs: one page from a cold start, and a scan of many pages streamed.

    python benchmarks/document_cost.py --data PAGES [--pages 100] [--repeats 3] [--threads 1] [--out FILE]

PAGES holds pictures of pages; those of an A4 or letter sheet at 300 dpi are taken (7.5 to 10 megapixels), or `--page`
alone. `first run` has no compiled graph in OpenVINO's cache, as after an installation; `again` has. The scan is one PDF
of these pages in turns, each changed by three pixels, so that none is known from before; text is read anew (no cache of
pages) and written as a PDF that can be searched. Bars: 400 MB for a page, 600 MB for the scan, 3 s of wall time for a
page from a cold start (on a quiet machine), 2.0 CPU-seconds a page of the scan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pikepdf
from measure import Usage, arguments, report, run, verdict, vitapps

from vitapps.datasets.formats.pdf_pictures import encoded
from vitapps.datasets.formats.picture import PICTURE_SUFFIXES, read_picture

_SHEET = 7.5e6, 10e6  # pixels of A4 and letter at 300 dpi, cut a little or with a border


def ordinary_pages(folder: Path) -> list[Path]:
    """Pictures of whole sheets at 300 dpi."""
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    found = [path for path in pictures if _SHEET[0] <= read_picture(path).pixels[..., 0].size <= _SHEET[1]]
    if not found:
        raise SystemExit(f"{folder}: no picture of {_SHEET[0] / 1e6:g} to {_SHEET[1] / 1e6:g} megapixels")
    return found


def write_scan(images: Sequence[Path], pages: int, path: Path) -> None:
    """A PDF of `pages` pages, the images in turns, all unlike."""
    pdf = pikepdf.new()
    for number in range(pages):
        picture = read_picture(images[number % len(images)])
        pixels = picture.pixels.copy()
        height, width = pixels.shape[:2]
        pixels[number % height, :3] = 255 - pixels[number % height, :3]
        size = width * 72 / 300, height * 72 / 300
        pdf.add_blank_page(page_size=size)
        page = pdf.pages[-1].obj
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Page=encoded(pdf, pixels, lossy=True)))
        page.Contents = pdf.make_stream(f"q {size[0]} 0 0 {size[1]} 0 0 cm /Page Do Q".encode())
    pdf.save(path)


def read(source: Path, folder: Path, threads: int, *, cache: str = "cache", ending: str = "txt") -> Usage:
    """A process that reads `source`; what it writes and compiles stays in `folder`."""
    words = vitapps("doc", "ocr", source, "-o", folder / f"read.{ending}", "--no-cache", "--quiet", "--overwrite",
                    "--device", "cpu", "--threads", threads)  # fmt: skip
    return run(words, environment={"XDG_CACHE_HOME": str(folder / cache)})


def main() -> None:
    parser = arguments(__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="a folder of pages")
    where.add_argument("--page", type=Path, help="one page alone")
    parser.add_argument("--pages", type=int, default=100, help="of the scan")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    images = [given.page] if given.page else ordinary_pages(given.data)
    first: list[Usage] = []
    again: list[Usage] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for image in images:
            cache = f"cache-{image.name}"  # filled by the first run
            first.append(read(image, folder, given.threads, cache=cache))
            warm = [read(image, folder, given.threads, cache=cache) for _ in range(given.repeats)]
            again.append(min(warm, key=lambda usage: usage.wall))
        write_scan(images, given.pages, folder / "scan.pdf")
        whole = read(folder / "scan.pdf", folder, given.threads, ending="pdf")
    rows = [
        *(row(f"{image.name}, first run", usage) for image, usage in zip(images, first, strict=True)),
        *(row(f"{image.name}, again", usage) for image, usage in zip(images, again, strict=True)),
        row(f"{given.pages} pages as a PDF", whole, given.pages),
    ]
    notes = [
        verdict("peak memory of a page", max(usage.rss for usage in first + again) / 1e6, 400, " MB"),
        verdict(f"peak memory of {given.pages} pages", whole.rss / 1e6, 600, " MB"),
        verdict("wall time of a page, cold start", max(usage.wall for usage in again), 3, " s"),
        verdict("the same, first run", max(usage.wall for usage in first), 3, " s"),
        verdict("CPU time of a page of the scan", whole.cpu / given.pages, 2.0, " s"),
    ]
    report("doc ocr", ("", "CPU s a page", "wall s a page", "peak MB"), rows, notes, given.out)


def row(name: str, usage: Usage, pages: int = 1) -> tuple[str, str, str, str]:
    """A row of the table."""
    return name, f"{usage.cpu / pages:.2f}", f"{usage.wall / pages:.2f}", f"{usage.rss / 1e6:.0f}"


if __name__ == "__main__":
    main()
