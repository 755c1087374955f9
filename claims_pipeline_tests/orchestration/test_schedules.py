"""What the daily schedules do at a given time: real database, real inbox, real messages."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from claims_pipeline.feeds import all_feeds
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.orchestration.keys import table_key
from claims_pipeline.orchestration.sensors import arrivals_sensor, digest_schedule, missing_schedule
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline_tests.fix_dagster import (
    DAY,
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    feed_of,
    upload_lines,
    upload_name,
)
from claims_pipeline_tests.fix_listeners import SlackListener

DUE = dt.datetime.combine(DAY, SENDER.calendar.due, dt.UTC)


@pytest.fixture
def location(kept_location: CodeLocation) -> CodeLocation:
    """Schedules find their instance by its folder."""
    return kept_location


@pytest.fixture
def told(location: CodeLocation, configure: Configure, slack_api: SlackListener) -> SlackListener:
    """The channel that the code location tells."""
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    return slack_api


def evaluate(
    schedule: dg.ScheduleDefinition, location: CodeLocation, now: dt.datetime
) -> tuple[list[dg.RunRequest], str]:
    """One evaluation as the daemon does it: run requests, and what is said where there are none."""
    with dg.build_schedule_context(
        instance=location.instance, scheduled_execution_time=now, resources={"pipeline": location.pipeline}
    ) as context:
        data = schedule.evaluate_tick(context)
    return list(data.run_requests or ()), data.skip_message or ""


def missing(location: CodeLocation, now: dt.datetime = DUE) -> tuple[list[dg.RunRequest], str]:
    """The schedule of missing dumps."""
    return evaluate(missing_schedule(SENDER), location, now)


def digest(location: CodeLocation, now: dt.datetime) -> str:
    """What the digest's schedule says."""
    requests, said = evaluate(digest_schedule(), location, now)
    assert requests == []
    return said


def freshness(location: CodeLocation, dataset: str) -> bool:
    """Whether the UI shows the table as fresh."""
    key = dg.AssetCheckKey(table_key(feed_of(dataset)), "fresh")
    (record,) = location.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.evaluation is not None
    return record.evaluation.passed


# ---------------------------------------------------------------------------------------------- missing


def test_a_day_without_dumps_is_told_with_every_feed(location: CodeLocation, told: SlackListener) -> None:
    missing(location)
    (call,) = told.calls
    assert "2026-05-04: 5 feeds missing" in call.payload["text"]


def test_only_feeds_without_a_dump_are_told(location: CodeLocation, told: SlackListener) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    missing(location)
    (call,) = told.calls
    assert ("4 feeds" in call.payload["text"], UPLOADS in str(call.payload)) == (True, False)


def test_a_day_with_all_dumps_is_not_told(location: CodeLocation, told: SlackListener) -> None:
    location.drop(rows=12)
    missing(location)
    assert told.calls == []


def test_a_dump_of_yesterday_does_not_count_for_today(location: CodeLocation, told: SlackListener) -> None:
    location.drop(rows=12)
    missing(location, DUE + dt.timedelta(days=1))
    assert ["2026-05-05: 5 feeds missing" in call.payload["text"] for call in told.calls] == [True]


def test_a_day_is_told_once_however_often_the_schedule_ticks(location: CodeLocation, told: SlackListener) -> None:
    missing(location)
    missing(location, DUE + dt.timedelta(minutes=1))
    assert len(told.calls) == 1


def test_a_dump_that_was_missing_and_comes_is_told_by_the_sensor(location: CodeLocation, told: SlackListener) -> None:
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    missing(location, dt.datetime.combine(yesterday, SENDER.calendar.due, dt.UTC))
    location.put(upload_name(yesterday), as_csv(upload_lines()))
    with dg.build_sensor_context(instance=location.instance, resources={"pipeline": location.pipeline}) as context:
        arrivals_sensor(SENDER).evaluate_tick(context)
    texts = [call.payload["text"] for call in told.calls]
    assert f"{yesterday}: 5 feeds missing" in texts[0]
    assert f"{yesterday}: 1 feed arrived after having been missing" in texts[-1]  # between them maybe what today lacks


def test_a_dump_that_is_not_read_yet_is_told_with_its_reason(
    location: CodeLocation, told: SlackListener, configure: Configure
) -> None:
    configure(settle_seconds=3600)
    location.drop(rows=12)
    missing(location)
    (call,) = told.calls
    assert ":hourglass: 5 dumps not read by 2026-05-04" in call.payload["text"]
    assert "read when a second look finds it unchanged" in str(call.payload["blocks"])


def test_it_asks_for_what_is_open(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    requests, _ = missing(location)
    assert [request.tags["dagster/asset_partition_range_start"] for request in requests] == ["2026-05-04"]


def test_failed_dumps_get_another_chance(location: CodeLocation, configure: Configure) -> None:
    configure(max_attempts=1)
    location.put(upload_name(), as_csv(upload_lines()))
    (request,) = location.look()
    location.run_that_is(dg.DagsterRunStatus.FAILURE, request)
    location.look()
    assert location.statuses() == {DumpStatus.FAILED: 1}
    requests, _ = missing(location)
    assert [result.success for result in map(location.run, requests)] == [True]


def test_a_day_with_nothing_to_ask_for_says_what_is_missing(location: CodeLocation) -> None:
    assert UPLOADS in missing(location)[1]


def test_a_table_that_has_the_day_shows_as_fresh(location: CodeLocation) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    location.deliver()
    missing(location)
    assert freshness(location, UPLOADS)


def test_a_table_without_the_day_shows_as_not_fresh(location: CodeLocation) -> None:
    missing(location)
    assert not freshness(location, UPLOADS)


# ---------------------------------------------------------------------------------------------- digest


def tonight() -> dt.datetime:
    """A digest looks at what was settled in the last 24 hours: dumps of this test are."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)


def test_the_digest_of_a_quiet_channel_tells_what_became_of_the_dumps(
    location: CodeLocation, told: SlackListener, configure: Configure
) -> None:
    configure(slack_quiet="true")
    location.put(upload_name(), as_csv(upload_lines(7)))
    location.deliver()
    digest(location, tonight())
    (call,) = told.calls
    assert ("1 dump" in call.payload["text"], "7 inserted" in str(call.payload["blocks"])) == (True, True)


def test_the_digest_names_feeds_without_a_dump(
    location: CodeLocation, told: SlackListener, configure: Configure
) -> None:
    configure(slack_quiet="true")
    digest(location, tonight())
    assert f"{len(all_feeds())} feeds missing" in told.calls[0].payload["text"]


def test_a_channel_that_is_not_quiet_gets_no_digest(location: CodeLocation, told: SlackListener) -> None:
    assert "CLAIMS_SLACK_QUIET is off" in digest(location, tonight())
    assert told.calls == []
