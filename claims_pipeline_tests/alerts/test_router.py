"""Who is told what, and that telling never fails a load."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from claims_pipeline.alerts import Alerts, DatadogSink, Posted, SlackSink
from claims_pipeline.vocabulary import DeliveryNews, RunReport
from claims_pipeline_tests.alerts.reports import ABSENT, ATTENTION, DAY, FAILURE, LOADED, SUCCESS
from claims_pipeline_tests.fix_listeners import INVALID_AUTH, SlackListener, StatsdListener

PREVIOUS = Posted(channel="C0CLAIMS", ts="1700000000.000000")
# A bug of ours: a value where a count belongs. Python's error quotes it.
BROKEN = dataclasses.replace(
    FAILURE, dumps=(dataclasses.replace(LOADED, rejects={"rule": cast("int", "canary-4711")}),)
)


@pytest.fixture
def alerts(slack_api: SlackListener, statsd: StatsdListener) -> Alerts:
    return Alerts(
        slack=SlackSink("token", "#claims", base_url=slack_api.base_url, timeout=60),
        datadog=DatadogSink("127.0.0.1", statsd.port),
        titles={"va_form526": "VA claims"},
    )


@pytest.fixture
def quiet(alerts: Alerts) -> Alerts:
    return dataclasses.replace(alerts, quiet=True)


def test_a_good_run_is_told(alerts: Alerts, slack_api: SlackListener) -> None:
    assert alerts.run_ended(SUCCESS) is not None
    assert slack_api.methods == ["chat.postMessage"]


def test_the_message_has_the_senders_title(alerts: Alerts, slack_api: SlackListener) -> None:
    alerts.run_ended(SUCCESS)
    assert "VA claims" in slack_api.calls[0].payload["text"]


def test_a_good_run_in_quiet_mode_is_metrics_only(
    quiet: Alerts, slack_api: SlackListener, statsd: StatsdListener
) -> None:
    assert quiet.run_ended(SUCCESS) is None
    assert slack_api.calls == []
    assert "claims.runs" in {line.name for line in statsd.metrics()}


@pytest.mark.parametrize("report", [ATTENTION, FAILURE])
def test_trouble_is_told_in_quiet_mode_too(quiet: Alerts, slack_api: SlackListener, report: RunReport) -> None:
    assert quiet.run_ended(report) is not None
    assert slack_api.methods == ["chat.postMessage"]


@pytest.mark.parametrize("report", [SUCCESS, FAILURE])
def test_a_run_that_has_a_message_updates_it(quiet: Alerts, slack_api: SlackListener, report: RunReport) -> None:
    assert quiet.run_ended(report, PREVIOUS) == PREVIOUS
    assert slack_api.methods == ["chat.update"]


def test_a_failed_update_keeps_the_message_for_the_next_try(alerts: Alerts, slack_api: SlackListener) -> None:
    slack_api.will_answer(INVALID_AUTH)
    assert alerts.run_ended(FAILURE, PREVIOUS) == PREVIOUS


def test_a_crash_is_told_and_counted(alerts: Alerts, slack_api: SlackListener, statsd: StatsdListener) -> None:
    alerts.crashed(run_id="run-9", sender="va_form526", days=[DAY], last_step="warehouse")
    assert "VA claims" in slack_api.calls[0].payload["text"]
    assert [(line.name, line.tags["outcome"]) for line in statsd.metrics()] == [("claims.runs", "crash")]


def test_a_crash_updates_the_message_that_the_run_had(alerts: Alerts, slack_api: SlackListener) -> None:
    alerts.crashed(run_id="run-9", sender="va_form526", days=[DAY], previous=PREVIOUS)
    assert slack_api.methods == ["chat.update"]


def test_missing_dumps_are_told_in_quiet_mode_too(quiet: Alerts, slack_api: SlackListener) -> None:
    told = quiet.delivered(news=DeliveryNews.MISSING, deliveries=[ABSENT], sender="va_form526", timezone="UTC")
    assert told is not None


def test_missing_dumps_are_counted(quiet: Alerts, statsd: StatsdListener) -> None:
    quiet.count_deliveries(DeliveryNews.MISSING, [ABSENT])
    assert [(line.name, line.tags["dataset"]) for line in statsd.metrics()] == [("claims.dumps.missing", "submissions")]


def test_no_waiting_dump_is_no_message(alerts: Alerts, slack_api: SlackListener) -> None:
    assert alerts.waiting(day=DAY, waiting=[]) is None
    assert slack_api.calls == []


def test_a_digest_is_posted(quiet: Alerts, slack_api: SlackListener) -> None:
    assert quiet.digest(day=DAY, dumps=[LOADED]) is not None
    assert "Digest of 2026-11-21" in slack_api.calls[0].payload["text"]


def test_without_any_sink_nothing_happens() -> None:
    silent = Alerts(slack=None, datadog=None)
    assert silent.run_ended(FAILURE) is None
    assert silent.crashed(run_id="run-9", sender="va_form526", days=[]) is None


def test_slack_being_down_does_not_stop_the_metrics(
    alerts: Alerts, slack_api: SlackListener, statsd: StatsdListener
) -> None:
    slack_api.stop()
    no_patience = SlackSink("token", "#claims", base_url=slack_api.base_url, patience=0)
    assert dataclasses.replace(alerts, slack=no_patience).run_ended(FAILURE) is None
    assert "claims.runs" in {line.name for line in statsd.metrics()}


def test_a_bug_in_the_report_is_logged_by_class_and_not_raised(
    alerts: Alerts, caplog: pytest.LogCaptureFixture
) -> None:
    alerts.run_ended(BROKEN)
    assert caplog.messages[0] == "Alerting failed to send a run's metrics: builtins.ValueError; loading goes on"
    assert "canary" not in caplog.text
