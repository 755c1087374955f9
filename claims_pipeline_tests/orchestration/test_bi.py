"""Reports in Dagster: made when tables have changed, not with every tick, and told when they cannot be made."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from claims_pipeline.feeds import all_senders
from claims_pipeline.orchestration.bi import REPORTS_TAG, reports_sensors
from claims_pipeline_tests.fix_dagster import SUBMISSIONS, CodeLocation, Configure, whole_job
from claims_pipeline_tests.fix_listeners import SlackListener


def tick(location: CodeLocation) -> list[dg.RunRequest]:
    """What the sensor asks for."""
    with dg.build_sensor_context(instance=location.instance, resources={"pipeline": location.pipeline}) as context:
        (sensor,) = reports_sensors(all_senders())
        said = sensor.evaluate_tick(context)
    return list(said.run_requests or [])


def carry_out(location: CodeLocation, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """The run that the sensor asks for."""
    return whole_job().execute_in_process(
        instance=location.instance,
        asset_selection=list(request.asset_selection or ()),
        tags=request.tags,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def one(location: CodeLocation, query: str) -> Any:
    """The one value that a query gives."""
    with location.database() as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def filled(location: CodeLocation) -> CodeLocation:
    """A code location with forty submissions in the table."""
    location.drop(SUBMISSIONS, rows=40)
    location.deliver()
    return location


def test_nothing_is_asked_for_before_anything_was_loaded(location: CodeLocation) -> None:
    assert tick(location) == []


def test_reports_of_the_sender_are_asked_for_after_a_load(filled: CodeLocation) -> None:
    (request,) = tick(filled)
    assert request.tags[REPORTS_TAG] == "va_form526"
    assert dg.AssetKey(["bi", "submissions_per_day"]) in (request.asset_selection or ())


def test_a_tick_asks_for_the_same_only_once(filled: CodeLocation) -> None:
    """Dagster takes a run key once: a tick while the run is under way starts no second."""
    keys = {request.run_key for _ in range(2) for request in tick(filled)}
    assert len(keys) <= 2  # two where the hour has just passed


def test_a_run_makes_them_and_nothing_more_is_asked_for(filled: CodeLocation) -> None:
    (request,) = tick(filled)
    assert carry_out(filled, request).success
    assert tick(filled) == []
    assert one(filled, "select sum(submissions) from bi.submissions_per_day") == one(
        filled, "select count(*) from va_form526.form526_submissions"
    )


def test_its_checks_pass_with_figures(filled: CodeLocation) -> None:
    (request,) = tick(filled)
    checks = carry_out(filled, request).get_asset_check_evaluations()
    assert {check.check_name for check in checks} == {"small_groups_merged"}
    assert all(check.passed for check in checks)
    assert len(checks) == 5


def test_by_hand_they_are_made_anew(filled: CodeLocation) -> None:
    (request,) = tick(filled)
    carry_out(filled, request)
    before = one(filled, "select refreshed_at from ops.report where report = 'submissions_per_day'")
    carry_out(filled, request._replace(tags={}))
    assert one(filled, "select refreshed_at from ops.report where report = 'submissions_per_day'") > before


def test_a_report_that_cannot_be_made_fails_the_run_and_is_told(
    filled: CodeLocation, configure: Configure, slack_api: SlackListener
) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    with filled.database() as connection:
        connection.execute("alter table va_form526.form526_submissions rename column mailing_state to moved")
    (request,) = tick(filled)
    result = carry_out(filled, request)
    assert not result.success
    (call,) = slack_api.calls
    assert "reports_va_form526" in str(call)
