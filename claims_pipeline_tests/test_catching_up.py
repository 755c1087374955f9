"""Catching up with an inbox in portions: each is loaded before anything behind it is listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from claims_pipeline.catching_up import Portion, portions
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline_tests.fix_depot import Depot, key_of

KEYS = [key_of("plain", day) for day in range(1, 6)]


@pytest.fixture
def paged(depot: Depot) -> Iterator[Depot]:
    """The depot with five dumps, whose S3 shows two keys a page."""
    for number, key in enumerate(KEYS):
        depot.put(key, f"parcel,fee\n{number},1.00\n".encode())
    events = depot.pipeline.s3.meta.events
    event = "provide-client-params.s3.ListObjectsV2"

    def two_at_most(params: dict[str, Any], **_: object) -> None:
        params["MaxKeys"] = min(2, params.get("MaxKeys", 2))

    events.register(event, two_at_most, unique_id="two-a-page")
    yield depot
    events.unregister(event, unique_id="two-a-page")


def keys_of(portion: Portion) -> list[str]:
    return [dump.key for dump in portion.dumps]


def test_an_inbox_with_little_that_is_new_is_one_portion(paged: Depot) -> None:
    (portion,) = portions(paged.pipeline.flow, paged.sender)
    assert keys_of(portion) == KEYS


def test_nothing_behind_a_portion_is_listed_before_it_is_loaded(paged: Depot) -> None:
    first = next(portions(paged.pipeline.flow, paged.sender, most_new=1))
    assert [(dump.key, dump.status) for dump in paged.ledger()] == [(key, DumpStatus.LOADED) for key in KEYS[:2]]
    assert keys_of(first) == KEYS[:2]


def test_portions_that_settle_come_to_the_end(paged: Depot) -> None:
    paged.settling_for(0.05)
    done = list(portions(paged.pipeline.flow, paged.sender, most_new=2))
    assert [keys_of(portion) for portion in done] == [KEYS[:2], KEYS[2:4], KEYS[4:]]
    assert {dump.status for dump in paged.ledger()} == {DumpStatus.LOADED}


def test_each_portion_is_noted_under_a_run_of_its_own(paged: Depot) -> None:
    done = list(portions(paged.pipeline.flow, paged.sender, most_new=2))
    assert [portion.run_id for portion in done] == [dump.run_id for dump in paged.ledger()[::2]]


def test_a_dump_that_cannot_be_finished_is_tried_once_and_holds_up_nothing(paged: Depot) -> None:
    paged.put(key_of("boxed", 1), b"no Parquet, and no table for it")
    broken = _without_a_table(paged, "plain")
    tried: list[str] = []
    list(portions(broken.pipeline.flow, paged.sender, each=lambda dump: tried.append(dump.key), most_new=1))
    assert sorted(tried) == sorted([key_of("boxed", 1), *KEYS])


def test_no_portion_is_begun_while_too_many_dumps_cannot_be_finished(paged: Depot) -> None:
    broken = _without_a_table(paged, "plain")
    done = list(portions(broken.pipeline.flow, paged.sender, most_new=1, most_open=2))
    assert ([keys_of(portion) for portion in done], len(paged.ledger())) == ([KEYS[:2]], 2)


def _without_a_table(depot: Depot, dataset: str) -> Depot:
    with depot.pipeline.services.owner_database() as connection:
        connection.execute(f"drop table depot.{dataset} cascade".encode())
    return depot
