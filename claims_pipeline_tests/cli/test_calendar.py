"""`claims-pipeline calendar`, on a real inbox and database."""

from __future__ import annotations

import datetime as dt

import pytest

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline_tests.cli.terminal import call, call_json
from claims_pipeline_tests.fix_dagster import CodeLocation, Configure, as_csv, upload_lines, upload_name
from claims_pipeline_tests.fix_listeners import SlackListener

DAY = dt.timedelta(days=1)


@pytest.fixture
def today(location: CodeLocation) -> dt.date:
    """Today; one feed has delivered for yesterday, the others have not."""
    day = dt.datetime.now(dt.UTC).date()
    location.put(upload_name(day - DAY), as_csv(upload_lines()))
    assert call("catch-up", "--sender", SENDER.name).exit_code == 0
    return day


def test_each_day_says_what_came_and_what_did_not(today: dt.date) -> None:
    printed = " ".join(call("calendar", "--sender", SENDER.name, "--days", "1", "--ahead", "1").stdout.split())
    assert f"{SENDER.title}: every day by 09:00 (UTC)" in printed
    assert f"{today - DAY:%Y-%m-%d %a} 09:00 4 missing: form526_submissions, form526_contentions" in printed
    assert "1 arrived" in printed
    assert f"{today + DAY:%Y-%m-%d %a} 09:00 all 5 due" in printed


def test_each_feed_and_day_is_a_line_of_json(today: dt.date) -> None:
    lines = call_json("calendar", "--sender", SENDER.name, "--days", "1", "--ahead", "0")
    found = {(line["delivery"]["day"], line["delivery"]["feed"]): line["delivery"]["state"] for line in lines}
    assert len(found) == 10
    assert found[f"{today - DAY}", f"{SENDER.name}/form526_uploads"] == "arrived"


def test_an_unknown_sender_names_the_known_ones(location: CodeLocation) -> None:
    result = call("calendar", "--sender", "nobody")
    assert (result.exit_code, SENDER.name in result.stderr) == (3, True)


def test_catch_up_tells_what_is_missing_today_once_and_only_after_it_was_due(
    location: CodeLocation, configure: Configure, slack_api: SlackListener
) -> None:
    configure(slack_token="xoxb-test", slack_base_url=slack_api.base_url)
    call("catch-up", "--sender", SENDER.name)
    is_due = dt.datetime.now(dt.UTC).time() >= SENDER.calendar.due
    call("catch-up", "--sender", SENDER.name)
    assert len(slack_api.calls) <= 1
    assert bool(slack_api.calls) or not is_due
