"""The growth benchmark at a size that takes seconds: what it measures is what it says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claims_pipeline import local
from claims_pipeline.feeds import all_feeds
from claims_pipeline_tests.benchmarks import growth

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A benchmark's folder, whose services end with the tests; this process is as before then."""
    folder = tmp_path_factory.mktemp("growth")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))  # undone, it takes away what `open_site` adds, too
        for name in [name for name in os.environ if name.startswith(("CLAIMS_", "DAGSTER_", "AWS_", "PG"))]:
            patch.delenv(name)
        local.ensure_up(folder / "state", durable=False)
        yield folder
        local.reset(folder / "state")
    all_feeds.cache_clear()


def _measured(folder: Path, *words: str) -> list[dict[str, Any]]:
    """The lines that a command adds."""
    results = folder / "results" / "growth.jsonl"
    before = len(growth.lines_of(results))
    growth.main([*words, "--folder", str(folder)])
    return growth.lines_of(results)[before:]


def test_a_delta_meets_a_table_that_was_filled_without_the_pipeline(folder: Path) -> None:
    (line,) = _measured(folder, "table", "--sizes", "2000", "--deltas", "200")
    assert line["rows"] == {"read": 200, "inserted": 100, "updated": 100}
    assert line["table"]["updates"] == 100


def test_a_backlog_is_loaded_file_by_file_and_passed_over_when_resumed(folder: Path) -> None:
    words = ("backlog", "--sizes", "3", "--ways", "steps")
    (line,) = _measured(folder, *words)
    assert line["by_step"].keys() == {"archive", "validate", "load"}
    assert min(line["per_file"].values()) > 0
    assert _measured(folder, *words, "--resume") == []
