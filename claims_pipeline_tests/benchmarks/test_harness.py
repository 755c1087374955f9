"""The harness: it measures what ran, notices what went wrong, and its whole way works at 1,000 rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from claims_pipeline import local
from claims_pipeline.local import LocalServices
from claims_pipeline_tests.benchmarks import measure, report
from claims_pipeline_tests.benchmarks.cases import Chain, Step, small
from claims_pipeline_tests.benchmarks.contenders import Command
from claims_pipeline_tests.benchmarks.contenders.floor import Floor
from claims_pipeline_tests.benchmarks.measure import FailedError
from claims_pipeline_tests.benchmarks.runner import run_chain
from claims_pipeline_tests.benchmarks.site import Site

pytestmark = pytest.mark.bench

NEEDS_PROC = pytest.mark.skipif(not measure.PROC.is_dir(), reason="memory and CPU of other processes: only by /proc")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_floor_and_ours_load_the_same_rows_and_are_compared(tmp_path: Path) -> None:
    words = ["--rows", "1000", "--rounds", "1", "--cases", "delta", "--folder", str(tmp_path)]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "claims_pipeline_tests.benchmarks", *words],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        local.reset(tmp_path / "state")
    records = [json.loads(line) for line in (tmp_path / "results" / "small.jsonl").read_text().splitlines()]
    assert [(record["contender"], record.get("error")) for record in records] == [("floor", None), ("library", None)]
    assert "x floor" in done.stdout


class Idle(Floor):
    """A contender that loads nothing and says that all is well."""

    name = "idle"

    def command(self, site: Site, chain: Chain, step: Step, file: Path) -> Command:
        return Command(("true",))


def test_a_contender_whose_table_lacks_rows_is_found_out(services: LocalServices, tmp_path: Path) -> None:
    (record,) = run_chain(Site(tmp_path, services, {}), small(), Idle())
    assert "the table holds Held(rows=0" in record["error"]


@NEEDS_PROC
def test_memory_and_cpu_of_a_process_are_measured() -> None:
    code = "import time; held = bytearray(b'x') * (200 << 20); time.sleep(1)"
    usage = measure.run(python(code)).usage
    assert usage.peak_mb["own"] >= 200
    assert usage.cpu["own"] > 0


@NEEDS_PROC
def test_a_server_beside_it_is_measured_by_itself() -> None:
    server = subprocess.Popen(python("while True: pass"))
    try:
        usage = measure.run(python("import time; time.sleep(1)"), beside={"postgres": server.pid}).usage
    finally:
        server.kill()
        server.wait()
    assert usage.cpu["postgres"] > usage.cpu["own"]


def test_what_a_process_says_last_as_json_is_taken() -> None:
    assert measure.run(python("print('words'); print('{\"seconds\": 2}')")).said == {"seconds": 2}


def test_a_process_that_fails_is_reported_with_its_error() -> None:
    with pytest.raises(FailedError, match="ValueError: no good"):
        measure.run(python("raise ValueError('no good')"))


def test_passwords_of_urls_are_not_reported() -> None:
    with pytest.raises(FailedError) as caught:
        measure.run(python("raise ValueError('postgresql://me:secret@host/db')"))
    assert "secret" not in str(caught.value)


def test_a_process_that_does_not_end_is_killed() -> None:
    with pytest.raises(FailedError, match="not done after"):
        measure.run(python("import time; time.sleep(600)"), seconds=0.5)


def record(contender: str, round_number: int, seconds: float, **others: Any) -> dict[str, Any]:
    usage = {"process_seconds": seconds, "cpu": {"own": 1.0}, "peak_mb": {"own": 10.0}, "total_mb": 20.0}
    place = {"chain": "daily", "rows": 100, "case": "first", "contender": contender, "round": round_number}
    return {**place, "seconds": seconds, **usage, "stages": {}, "bytes": 5, "at": "2026-01-01T00:00:00", **others}


def test_a_ratio_is_to_the_floor_of_the_same_round() -> None:
    records = [record("floor", 1, 2.0), record("floor", 2, 4.0), record("library", 1, 1.0), record("library", 2, 8.0)]
    ours = next(figure for figure in report.figures(records) if figure.contender == "library")
    assert ours.ratios == (0.5, 2.0)


def test_a_page_keeps_its_words_and_gets_the_figures_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write([record("floor", 1, 2.0), record("library", 1, 1.0)], tmp_path)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| first | claims_pipeline, as a library | 1.00 | 0.50 |" in text


def test_who_could_not_run_is_named_with_the_reason() -> None:
    failed = {"chain": "daily", "rows": 100, "contender": "dlt", "round": 1, "case": "first", "error": "not installed"}
    assert "not installed" in report.as_markdown([record("floor", 1, 2.0), failed])
