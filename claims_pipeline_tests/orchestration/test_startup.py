"""What a process of the code location loads, and what a tick and a run ask of Postgres and S3."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from claims_pipeline_tests.fix_dagster import UPLOADS, CodeLocation, as_csv, upload_lines, upload_name

NOT_NEEDED = (
    "claims_pipeline.alerts.slack_api",
    "claims_pipeline.cli",
    "claims_pipeline.local.fake_sender",
    "dagster_k8s",
    "dagster_postgres",
    "datadog",
    "slack_sdk",
    "typer",
)
"""What only some processes use: those with a Slack token or a Datadog host, the command line, the fake senders."""

TICK_CONNECTIONS, TICK_CALLS = 2, 1
RUN_CONNECTIONS, RUN_CALLS = 14, 12
"""Most that a tick with nothing to do, and a run of one small dump, may open and call; see docs/performance.md."""


@pytest.mark.parametrize("module", NOT_NEEDED)
def test_the_code_location_does_not_import(module: str, loaded_modules: frozenset[str]) -> None:
    assert module not in loaded_modules


def test_catching_up_without_dagster_does_not_import_it() -> None:
    needed = "claims_pipeline.alerting, claims_pipeline.catching_up, claims_pipeline.flow, claims_pipeline.reporting"
    assert not {name for name in _loaded_with(needed) if name.split(".")[0].startswith("dagster")}


def test_a_tick_with_nothing_to_do_asks_little_of_postgres(location: CodeLocation) -> None:
    location.look()
    with _sessions(location) as opened:
        location.look()
    assert 0 < opened["sessions"] <= TICK_CONNECTIONS


def test_a_tick_with_nothing_to_do_asks_little_of_s3(location: CodeLocation) -> None:
    location.look()
    with _calls(location) as made:
        location.look()
    assert 0 < made.total() <= TICK_CALLS, made


def test_a_run_of_a_small_dump_asks_little_of_postgres(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines(10)))
    (request,) = location.look()
    with _sessions(location) as opened:
        assert location.run(request).success
    assert location.rows(UPLOADS) == 10
    assert 0 < opened["sessions"] <= RUN_CONNECTIONS


def test_a_run_of_a_small_dump_asks_little_of_s3(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines(10)))
    (request,) = location.look()
    with _calls(location) as made:
        assert location.run(request).success
    assert 0 < made.total() <= RUN_CALLS, made


# ---------------------------------------------------------------------------------------------- parts


@pytest.fixture(scope="module")
def loaded_modules() -> frozenset[str]:
    """Every module that a fresh process has after importing the code location."""
    return _loaded_with("claims_pipeline.definitions")


def _loaded_with(modules: str) -> frozenset[str]:
    code = f"import sys, {modules}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found = frozenset(done.stdout.split())
    assert found >= set(modules.split(", "))
    return found


@contextmanager
def _sessions(location: CodeLocation) -> Iterator[Counter[str]]:
    """Counts the sessions that others open in the location's database, under "sessions"."""
    opened: Counter[str] = Counter()
    server, _, name = location.database_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as watcher:
        before = _settled_count(watcher, name)
        yield opened
        opened["sessions"] = _settled_count(watcher, name) - before


def _settled_count(watcher: psycopg.Connection, database: str) -> int:
    """Sessions ever opened in a database, once all of them have ended: they are counted at the latest by then."""
    give_up = time.monotonic() + 60
    query = (
        "select sessions, (select count(*) from pg_stat_activity where datname = d.datname)"
        " from pg_stat_database d where datname = %s"
    )
    while time.monotonic() < give_up:
        row = watcher.execute(query, [database]).fetchone()
        assert row is not None
        if row[1] == 0:
            return int(row[0])
        time.sleep(0.02)
    raise AssertionError("a session of the location's database has not ended")


@contextmanager
def _calls(location: CodeLocation) -> Iterator[Counter[str]]:
    """Counts the calls of the location's S3 client, by operation."""
    made: Counter[str] = Counter()
    client = location.pipeline.s3.get_client()

    def count(event_name: str, **_: Any) -> None:
        made[event_name.rpartition(".")[2]] += 1

    client.meta.events.register("before-send.s3", count)
    try:
        yield made
    finally:
        client.meta.events.unregister("before-send.s3", count)
