"""The benchmarks behind docs/scale.md at a size that takes seconds: what they measure is what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from claims_pipeline_tests.benchmarks import many_feeds

pytestmark = pytest.mark.bench


def test_generated_feeds_are_in_the_code_location_that_is_measured(tmp_path: Path) -> None:
    none, some = (many_feeds.measured(count, tmp_path / str(count)) for count in (0, 11))
    assert (some.assets - none.assets, some.sensors - none.sensors) == (33, 2)


def test_a_day_is_one_run_of_all_datasets_whose_events_are_counted(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLAIMS_", "DAGSTER_"))}
    words = ["--sender", "va_form526", "--days", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "claims_pipeline_tests.benchmarks.one_day", *words],
        env={**clean, "TMPDIR": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    (day,) = (json.loads(line) for line in done.stdout.splitlines() if line)
    assert (day["datasets"], day["dumps"]) == (5, 5)
    assert day["event_bytes"] > 100_000
