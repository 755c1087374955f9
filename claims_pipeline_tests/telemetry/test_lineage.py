"""OpenLineage events of real loads over HTTP; and none where it is off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from claims_pipeline.telemetry import lineage
from claims_pipeline_tests.fix_dagster import UPLOADS, CodeLocation, as_csv, feed_of, upload_lines, upload_name
from claims_pipeline_tests.telemetry.receiver import Receiver

FEED = f"va_form526/{UPLOADS}"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A lineage service, to which the variable points."""
    receiver = Receiver()
    lineage.reset()
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    yield receiver
    lineage.reset()
    receiver.stop()


@pytest.fixture
def loaded(location: CodeLocation, service: Receiver) -> list[dict[str, Any]]:
    """The events of one dump's load."""
    location.put(upload_name(), as_csv(upload_lines(3)))
    location.deliver()
    return service.events()


def test_each_step_starts_and_completes(loaded: list[dict[str, Any]]) -> None:
    told = [(event["job"]["name"].rpartition(".")[2], event["eventType"]) for event in loaded]
    assert told == [(step, what) for step in ("archive", "validate", "load") for what in ("START", "COMPLETE")]


def test_a_steps_two_events_are_of_one_run(loaded: list[dict[str, Any]]) -> None:
    runs = [event["run"]["runId"] for event in loaded]
    assert (runs[0] == runs[1], len(set(runs))) == (True, 3)


def test_each_step_reads_what_the_one_before_wrote(loaded: list[dict[str, Any]]) -> None:
    archived, validated, table = (event for event in loaded if event["eventType"] == "COMPLETE")
    for writer, reader in ((archived, validated), (validated, table)):
        (wrote,), (read,) = writer["outputs"], reader["inputs"]
        assert (wrote["namespace"], wrote["name"]) == (read["namespace"], read["name"])


def test_the_first_step_reads_the_inbox(loaded: list[dict[str, Any]], location: CodeLocation) -> None:
    (inbox,) = loaded[0]["inputs"]
    assert (inbox["namespace"], inbox["name"].endswith(upload_name())) == (f"s3://{location.inbox}", True)


def test_the_table_has_its_columns_and_rows(loaded: list[dict[str, Any]]) -> None:
    (table,) = loaded[-1]["outputs"]
    fields = [field["name"] for field in table["facets"]["schema"]["fields"]]
    assert table["name"].endswith(f".va_form526.{UPLOADS}")
    assert fields == [column.name for column in feed_of(UPLOADS).stored]
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 3


def test_no_user_and_no_password_is_told(loaded: list[dict[str, Any]]) -> None:
    (table,) = loaded[-1]["outputs"]
    assert table["namespace"].startswith("postgres://")
    assert "@" not in table["namespace"]


def test_the_run_of_dagster_is_the_parent(location: CodeLocation, service: Receiver) -> None:
    location.put(upload_name(), as_csv(upload_lines(3)))
    (result,) = location.deliver()
    assert {event["run"]["facets"]["parent"]["run"]["runId"] for event in service.events()} == {result.run_id}


def test_a_refused_dump_fails_its_step_with_the_reason(location: CodeLocation, service: Receiver) -> None:
    location.put(upload_name(), b"no,columns,of,ours\n1,2,3,4\n")
    location.deliver()
    last = service.events()[-1]
    assert (last["eventType"], "submission_id" in last["run"]["facets"]["errorMessage"]["message"]) == ("FAIL", True)


def test_a_service_that_refuses_is_asked_once_and_fails_no_load(location: CodeLocation, service: Receiver) -> None:
    service.status = 400
    location.put(upload_name(), as_csv(upload_lines(3)))
    (result,) = location.deliver()
    assert (result.success, len(service.events())) == (True, 1)


def test_a_pause_that_a_service_asks_for_is_not_waited_for(service: Receiver) -> None:
    service.status, service.headers = 503, {"Retry-After": "3600"}
    lineage.tell("START", lineage.new_step(run_id="cli-1", feed=FEED, step="load"))
    assert not lineage.is_on()


def test_without_the_variable_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    assert not lineage.is_on()
