"""The report page: self-contained, safe with any file name, searchable in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from fakes.batch_job import make_job, run
from vitapps.pipelines.batch.faults import Fault
from vitapps.pipelines.batch.identity import FileId
from vitapps.pipelines.batch.journal import Journal
from vitapps.pipelines.batch.report import MOST_EMBEDDED, write_report
from vitapps.pipelines.batch.report_charts import run_bars, throughput_bars
from vitapps.pipelines.batch.work import Done, Work

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NASTY = "/in/<img src=x onerror=alert(1)></script>\udcff.txt"


def big_journal(state: Path, items: int, previews: int = 0) -> None:
    """`items` rows, every tenth failed; the first has the nastiest name."""
    for number in range(previews):
        Image.new("RGB", (40, 30), (number % 255, 90, 20)).save(state / f"p{number}.png")
    journal = Journal(state / "journal.sqlite")
    journal.begin("vitapps batch run big.toml", {"host": "here"})
    works = [
        Work(n, NASTY if n == 0 else f"/in/{n:05d}.txt", Path(f"/out/{n}.gpkg"), f"redo {n}") for n in range(items)
    ]
    journal.claim("s", works, {work.id: (FileId(work.key, 5, 1), "o", "w:1") for work in works})
    ends = []
    for work in works:
        fault = Fault("unreadable", f"number {work.id} is </script><b>torn</b>") if work.id % 10 == 9 else None
        preview = str(state / f"p{work.id}.png") if work.id < previews else ""
        ends.append(
            (work, Done(work.id, fault, preview=preview, summary={"boxes": work.id}, seconds=work.id / 100), True)
        )
    journal.finish("s", ends)
    journal.end("failed", {"done": items * 9 // 10, "failed": items // 10})
    journal.close()


def embedded(page: Path) -> dict[str, list[list[object]]]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)
    found: dict[str, list[list[object]]] = json.loads(text)
    return found


def test_a_page_of_a_run(tmp_path: Path) -> None:
    job = make_job(tmp_path, {"a.txt": "hello", "b.txt": "bad"})
    run(job)
    made = write_report(tmp_path / "job.batch")
    assert (made.items, made.failed) == (2, 1)
    text = made.page.read_text()
    assert "not a text" in text
    rows = embedded(made.page)["items"]
    assert {Path(str(row[1])).name: row[2] for row in rows} == {"a.txt": "done", "b.txt": "failed"}
    (link,) = [str(row[8]) for row in rows if row[8]]
    assert (made.page.parent / link).resolve() == tmp_path / "out" / "a.loud"


def test_nothing_comes_from_elsewhere_and_no_name_is_markup(tmp_path: Path) -> None:
    big_journal(tmp_path, 30, previews=2)
    page = write_report(tmp_path).page
    text = page.read_text()
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]', text)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<img src=x" not in text
    assert text.count("</script>") == 2
    assert "torn</b>" not in text
    assert str(embedded(page)["items"][0][1]) == NASTY.replace("\udcff", "\\xff")


def test_ten_thousand_items(tmp_path: Path) -> None:
    big_journal(tmp_path, 10_000, previews=MOST_EMBEDDED + 5)
    made = write_report(tmp_path)
    assert (made.listed, made.failed) == (10_000, 1000)
    rows = embedded(made.page)["items"]
    assert sum(bool(row[11]) for row in rows) == MOST_EMBEDDED
    assert sum(bool(row[9]) for row in rows) == MOST_EMBEDDED + 5, "the others are linked"
    assert made.bytes < 8e6


def test_charts() -> None:
    assert throughput_bars([]) is None
    chart = throughput_bars([(1000.0 + n, n % 5 == 0) for n in range(120)] + [(90_000.0, False)])
    assert chart is not None
    assert chart.span == "2 min 0 s", "the pause is cut out"
    assert chart.peak == pytest.approx(1.0, rel=0.6)
    assert max(slot.done + slot.failed for slot in chart.slots) == 100
    bars = run_bars([{"id": 1, "started": 0.0, "ended": 50.0, "state": "done"},
                     {"id": 2, "started": 75.0, "ended": None, "state": "killed"},
                     {"id": 3, "started": 90.0, "ended": 100.0, "state": "done"}])  # fmt: skip
    assert [(bar.x, bar.width) for bar in bars] == [(0, 50), (75, 0.4), (90, 10)]


PROBE = """
<script>
addEventListener("error", (event) => { document.title = "ERROR " + event.message; });
setTimeout(() => {
  const seen = { first: byId("rows").children.length, count: byId("count").textContent,
                 pages: byId("pages").innerText };
  byId("pages").querySelectorAll("button")[2].click();
  seen.second = byId("rows").children[0].textContent;
  byId("words").value = "00123"; list();
  seen.found = byId("count").textContent;
  byId("words").value = ""; byId("state").value = "failed"; list();
  seen.failed = byId("count").textContent;
  byId("order").value = "slow"; list();
  seen.slow = byId("rows").children[0].children[0].textContent;
  seen.pictures = [...byId("gallery").querySelectorAll("img")].filter((i) => i.loading === "lazy" && i.alt).length;
  const controls = [...document.querySelectorAll("input, select, button")];
  seen.unnamed = controls.filter((control) => !control.textContent && !control.labels.length).length;
  const probe = document.createElement("pre"); probe.id = "seen"; probe.textContent = JSON.stringify(seen);
  document.body.append(probe);
}, 200);
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_search_and_pages_in_a_browser(tmp_path: Path) -> None:
    big_journal(tmp_path, 10_000, previews=30)
    page = write_report(tmp_path).page
    page.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         "--virtual-time-budget=3000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    (text,) = re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    seen = json.loads(text)
    assert (seen["first"], seen["count"]) == (50, "10000 of 10000 inputs")
    assert "page 1 of 200" in seen["pages"]
    assert seen["second"].startswith("/in/00050.txt")
    assert seen["found"] == "1 of 10000 inputs"
    assert (seen["failed"], seen["slow"]) == ("1000 of 10000 inputs", "/in/09999.txt")
    assert (seen["pictures"], seen["unnamed"]) == (24, 0)
