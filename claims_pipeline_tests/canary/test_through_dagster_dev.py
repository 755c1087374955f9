"""The same through `dagster dev`: its daemon, its launcher, and processes of runs, whose output lies on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from claims_pipeline.feeds import all_feeds
from claims_pipeline_tests.canary.breaking import WRONG
from claims_pipeline_tests.canary.dumps import dumps_of, unreadable
from claims_pipeline_tests.canary.needles import search
from claims_pipeline_tests.canary.places import sqlite_rows
from claims_pipeline_tests.canary.values import STEMS, Planted
from claims_pipeline_tests.fix_dagster import dagster_dev_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif("CANARY_ROWS" not in os.environ, reason="takes minutes: make canary"),
]

_DATA = ("postgres", "s3")
"""Folders of the embedded parts' own data: raw dumps and tables, which hold values."""


@pytest.fixture(scope="module")
def planted() -> Planted:
    """The register of what is delivered."""
    return Planted()


@pytest.fixture(scope="module")
def contents(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """Everything in the state folder but the data, after all dumps have come to their end."""
    state = tmp_path_factory.mktemp("dev")
    dumps = [dump for feed in all_feeds() for dump in dumps_of(feed, planted)]
    dumps += [dump for feed in WRONG for dump in unreadable(feed, planted)]
    with dagster_dev_in(state) as dev:
        for dump in dumps:
            dev.s3.put_object(Bucket=dev.inbox, Key=dump.key, Body=dump.body)
        dev.wait_for(lambda: dev.settled() >= len(dumps), seconds=1200)
        return list(_read(state))


def _read(state: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(state.rglob("*")):
        if path.is_file() and path.relative_to(state).parts[0] not in _DATA:
            yield str(path), path.read_bytes()
            if path.suffix == ".db":
                yield from sqlite_rows(path)


def test_no_value_of_a_record_is_in_any_file(contents: list[tuple[str, bytes]], planted: Planted) -> None:
    assert [str(hit) for hit in search(contents, STEMS, planted)] == []


@pytest.mark.parametrize("part", [".out", ".err", ".db", "dev.log"])
def test_the_files_are_there(contents: list[tuple[str, bytes]], part: str) -> None:
    assert any(name.endswith(part) for name, _ in contents)
