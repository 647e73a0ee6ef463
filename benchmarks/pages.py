"""A scan of many pages through `doc ocr`: seconds a page, peak memory, and one page from a cold start.

    python benchmarks/pages.py --page page.png [--pages 100] [--format pdf]

The page is copied with small changes (a pixel each), so that none is known from the one before, into one PDF.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pikepdf

from vitapps.datasets.formats.pdf_pictures import encoded
from vitapps.datasets.formats.picture import read_picture

_RUN = """
import resource, sys
from vitapps.apps.main import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stderr.write(f"{code} {used.ru_maxrss / 1024:.0f} {used.ru_utime + used.ru_stime:.2f}\\n")
"""


def write_scan(image: Path, pages: int, path: Path) -> None:
    """A PDF of `pages` pages that differ."""
    picture, pdf = read_picture(image), pikepdf.new()
    height, width = picture.pixels.shape[:2]
    dpi = picture.dpi or (300.0, 300.0)
    size = width * 72 / dpi[0], height * 72 / dpi[1]
    for number in range(pages):
        pixels = picture.pixels.copy()
        pixels[number % height, :3] = 255 - pixels[number % height, :3]
        pdf.add_blank_page(page_size=size)
        page = pdf.pages[-1].obj
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Page=encoded(pdf, pixels)))
        page.Contents = pdf.make_stream(f"q {size[0]} 0 0 {size[1]} 0 0 cm /Page Do Q".encode())
    pdf.save(path)


def measured(*words: str) -> tuple[float, str]:
    """Wall seconds of `vitapps` in a process of its own, and exit code, peak MB and CPU seconds as it says."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-P", "-c", _RUN, *words], capture_output=True, text=True, check=False)
    return time.perf_counter() - start, done.stderr.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--format", default="pdf")
    parser.add_argument("--threads", default="1")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.pdf"
        write_scan(given.page, given.pages, scan)
        options = ["--no-cache", "--threads", given.threads, "--quiet", f"--format={given.format}"]
        for name, source in (("one page, cold", given.page), ("one page, again", given.page), ("the scan", scan)):
            out = Path(folder) / f"{name}.out"
            seconds, said = measured("doc", "ocr", str(source), "-o", str(out), *options)
            code, peak, cpu = said.split()
            pages = given.pages if source == scan else 1
            sys.stdout.write(
                f"{name:16} exit {code}, {seconds:7.2f} s, {float(cpu) / pages:6.2f} CPU s a page, peak {peak} MB\n"
            )


if __name__ == "__main__":
    main()
