"""The arrivals sensor on a real inbox: what it asks for, what it does not ask for again, what it tells of."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from claims_pipeline.errors import ClaimsPipelineError, Transient
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.orchestration.keys import REQUEST_TAG
from claims_pipeline.orchestration.resources import InboxS3, PipelineResource
from claims_pipeline.orchestration.sensors import arrivals_sensor, look
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline_tests.fix_dagster import (
    DAY,
    JOBS,
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    upload_lines,
    upload_name,
)
from claims_pipeline_tests.fix_listeners import SlackListener

NEXT_DAY = DAY + dt.timedelta(days=1)


def span(request: dg.RunRequest) -> tuple[str, str]:
    """First and last day of a request."""
    return (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"])


def test_an_empty_inbox_asks_for_nothing(location: CodeLocation) -> None:
    assert location.look() == []


def test_days_of_dumps_are_one_run_of_their_datasets(location: CodeLocation) -> None:
    location.drop(UPLOADS, JOBS, days=3)
    (request,) = location.look()
    assert span(request) == ("2026-05-04", "2026-05-06")
    assert sorted({key.path[-1] for key in request.asset_selection or ()}) == [JOBS, UPLOADS]


def test_runs_of_all_datasets_fill_the_tables_as_the_sender_meant(location: CodeLocation) -> None:
    manifest = location.drop(days=2, rows=40, dirt=0.05)
    assert [result.success for result in location.deliver()] == [True]
    assert location.live() == {dataset: rows for dataset, rows in manifest.live.items() if rows}


def test_what_was_loaded_is_not_asked_for_again(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    location.deliver()
    assert location.look() == []


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_run_in_flight_is_not_asked_for_again(location: CodeLocation, status: str) -> None:
    location.drop(UPLOADS)
    (request,) = location.look()
    location.run_that_is(dg.DagsterRunStatus(status), request)
    assert location.look() == []


def test_a_dump_that_comes_while_a_run_is_in_flight_gets_a_run_of_its_own(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    (request,) = location.look()
    location.run_that_is(dg.DagsterRunStatus.STARTED, request)
    location.drop(UPLOADS, first=NEXT_DAY)
    assert [span(request) for request in location.look()] == [("2026-05-05", "2026-05-05")]


def test_a_run_that_ended_without_finishing_is_asked_for_again_under_another_key(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    (first,) = location.look()
    location.run_that_is(dg.DagsterRunStatus.FAILURE, first)
    (second,) = location.look()
    assert span(second) == span(first)
    assert second.run_key != first.run_key


def test_a_dump_is_given_up_after_the_last_attempt(location: CodeLocation, configure: Configure) -> None:
    configure(max_attempts=2)
    location.drop(UPLOADS)
    for _ in range(2):
        (request,) = location.look()
        location.run_that_is(dg.DagsterRunStatus.FAILURE, request)
    assert location.look() == []
    (dump,) = location.dumps()
    assert (dump.status, dump.attempts) == (DumpStatus.FAILED, 2)


def test_a_dump_given_up_is_told_of_once(
    location: CodeLocation, configure: Configure, slack_api: SlackListener
) -> None:
    configure(max_attempts=1, slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    location.drop(UPLOADS)
    (request,) = location.look()
    location.run_that_is(dg.DagsterRunStatus.FAILURE, request)
    location.look()
    location.look()
    advice = f"claims-pipeline retry {location.dumps()[0].dump_id}"
    assert [advice in str(call.payload) for call in slack_api.calls] == [True]


def test_a_dump_without_a_contract_blocks_nothing(location: CodeLocation) -> None:
    location.put("strange/export.csv", b"a,b\n1,2\n")
    location.drop(UPLOADS)
    location.deliver()
    assert location.statuses() == {DumpStatus.SKIPPED: 1, DumpStatus.LOADED: 1}


def test_a_dump_without_a_contract_is_told_of_once(
    location: CodeLocation, configure: Configure, slack_api: SlackListener
) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    key = location.put("strange/export.csv", b"a,b\n1,2\n")
    location.look()
    location.look()
    assert [key in str(call.payload) for call in slack_api.calls] == [True]


def test_a_dump_of_zero_bytes_blocks_nothing(location: CodeLocation) -> None:
    location.put(upload_name(), b"")
    location.put(upload_name(NEXT_DAY), as_csv(upload_lines()))
    assert [result.success for result in location.deliver()] == [True]
    assert [dump.verdict for dump in location.dumps()] == [DumpVerdict.EMPTY, DumpVerdict.NEW]


def test_an_unreadable_dump_blocks_nothing(location: CodeLocation) -> None:
    location.put(f"{upload_name()}.gz", b"this is no gzip")
    location.put(upload_name(NEXT_DAY), as_csv(upload_lines()))
    assert [result.success for result in location.deliver()] == [True]
    assert [(dump.status, dump.verdict) for dump in location.dumps()] == [
        (DumpStatus.REFUSED, DumpVerdict.UNREADABLE),
        (DumpStatus.LOADED, DumpVerdict.NEW),
    ]


def test_half_written_objects_are_left_alone(location: CodeLocation) -> None:
    location.put(f"{upload_name()}.tmp", b"half")
    assert (location.look(), location.dumps()) == ([], [])


def test_a_missing_day_stays_a_hole(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    location.drop(UPLOADS, first=DAY + dt.timedelta(days=2))
    location.deliver()
    assert materialized(location, UPLOADS) == {"2026-05-04", "2026-05-06"}


def test_a_missing_dataset_stays_a_hole(location: CodeLocation) -> None:
    location.drop(UPLOADS, JOBS)
    location.drop(UPLOADS, first=NEXT_DAY)
    location.deliver()
    assert (materialized(location, UPLOADS), materialized(location, JOBS)) == (
        {"2026-05-04", "2026-05-05"},
        {"2026-05-04"},
    )


def test_a_dump_that_was_sent_again_with_other_bytes_runs_its_own_day_again(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines(3)))
    location.deliver()
    location.put(upload_name(), as_csv(upload_lines(4)))
    assert [span(request) for request in location.look()] == [("2026-05-04", "2026-05-04")]


def test_an_inbox_that_cannot_be_listed_fails_the_tick(location: CodeLocation, configure: Configure) -> None:
    configure(inbox_bucket="no-such-bucket")
    with pytest.raises(ClaimsPipelineError, match="no-such-bucket"):
        location.look()


def test_an_s3_that_is_down_fails_the_tick(location: CodeLocation, configure: Configure) -> None:
    configure(s3_endpoint_url="http://127.0.0.1:9")  # discard: nobody listens
    s3 = InboxS3(max_attempts=1)
    with pytest.raises(Transient):
        look(location.instance, PipelineResource(s3=s3), SENDER)


def test_a_database_that_is_down_fails_the_tick(location: CodeLocation, configure: Configure) -> None:
    configure(database_url="postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(Transient):
        location.look()


# ---------------------------------------------------------------------------------------------- the sensor itself


def tick(location: CodeLocation) -> tuple[list[dg.RunRequest], str]:
    """One evaluation as the daemon does it: run requests, and what is said where there are none."""
    sensor = arrivals_sensor(SENDER)
    with dg.build_sensor_context(instance=location.instance, resources={"pipeline": location.pipeline}) as context:
        data = sensor.evaluate_tick(context)
    return list(data.run_requests or ()), data.skip_message or ""


def test_the_sensor_asks_for_runs_by_a_key_and_a_tag(location: CodeLocation) -> None:
    location.drop(UPLOADS)
    ((request,), _) = tick(location)
    assert request.run_key == request.tags[REQUEST_TAG]


def test_a_skipped_tick_says_what_was_listed(location: CodeLocation) -> None:
    location.put(f"{upload_name()}.tmp", b"half")
    assert tick(location)[1].startswith("listed 1, of these 1 no dumps; new 0")


def materialized(location: CodeLocation, dataset: str) -> set[str]:
    """Days of a table that the UI shows as filled."""
    return set(location.instance.get_materialized_partitions(dg.AssetKey([SENDER.name, dataset])))
