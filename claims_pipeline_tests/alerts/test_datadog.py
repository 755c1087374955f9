"""Datadog over real UDP: every figure that is sent is documented, and nothing comes back to the load."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from claims_pipeline.alerts import METRICS, DatadogSink, metrics_table
from claims_pipeline.vocabulary import DeliveryNews, DumpReport, DumpStatus, Pulse, RunReport
from claims_pipeline_tests.alerts.reports import ABSENT, ATTENTION, FAILURE, LOADED, REFUSED, SUCCESS, TOO_LATE
from claims_pipeline_tests.fix_listeners import StatsdListener

EVERYTHING = dataclasses.replace(ATTENTION, dumps=(dataclasses.replace(LOADED, issues={"zip.format": 7}), REFUSED))
FEED = {"sender": "va_form526", "dataset": "submissions"}


def sink(statsd: StatsdListener) -> DatadogSink:
    return DatadogSink("127.0.0.1", statsd.port, tags=["env:test"])


def values(statsd: StatsdListener, name: str) -> dict[tuple[str, ...], float]:
    """Values of one metric by its tags, those of the feed and the environment left out."""
    left_out = {"env", "sender", "dataset"}
    return {
        tuple(value for tag, value in line.tags.items() if tag not in left_out): line.value
        for line in statsd.metrics()
        if line.name == name
    }


def test_every_metric_that_is_sent_is_documented_with_its_type_and_tags(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(EVERYTHING)
    sink(statsd).run_crashed(sender="indici", title="killed", text="no report")
    sink(statsd).delivered(DeliveryNews.MISSING, [ABSENT])
    sink(statsd).delivered(DeliveryNews.LATE, [TOO_LATE])
    sink(statsd).upkeep_failed(task="backup", title="Upkeep: backup failed", text="no room")
    sink(statsd).backups(backup_age=1.5, drill_age=2.5, backup_bytes=3, backup_seconds=4.5)
    sink(statsd).audit(age=5.5)
    sink(statsd).events({"new": 2, "unheard": 1}, oldest_seconds=3.5)
    sink(statsd).heartbeat()
    sink(statsd).caught_up()
    sink(statsd).pulse(Pulse({"indici/patients": 0}, {"indici/patients": 2}, {"indici": True}))
    kinds = {"count": "c", "distribution": "d", "gauge": "g"}
    documented = {(metric.name, kinds[metric.type], frozenset(metric.tags) | {"env"}) for metric in METRICS}
    assert {(line.name, line.type, frozenset(line.tags)) for line in statsd.metrics()} == documented


def test_rows_are_counted_by_verdict(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(SUCCESS)
    assert values(statsd, "claims.rows") == {("inserted",): 12000, ("updated",): 342, ("quarantined",): 3}


def test_rows_of_all_dumps_of_a_feed_are_one_figure(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(dataclasses.replace(SUCCESS, dumps=(LOADED,) * 300))
    assert values(statsd, "claims.rows")["inserted",] == 300 * 12000


def test_dumps_are_counted_by_verdict_and_status(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(ATTENTION)
    assert values(statsd, "claims.dumps") == {("new", "loaded"): 1, ("new", "refused"): 1}


def test_a_dump_that_was_not_read_has_a_verdict_tag_too(statsd: StatsdListener) -> None:
    dump = dataclasses.replace(REFUSED, verdict=None, status=DumpStatus.FAILED)
    sink(statsd).run_metrics(dataclasses.replace(FAILURE, dumps=(dump,)))
    assert values(statsd, "claims.dumps") == {("not_read", "failed"): 1}


def test_rejects_are_counted_by_rule(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(SUCCESS)
    assert values(statsd, "claims.rejects") == {("ssn.format",): 2, ("created_at.range",): 1}


def test_a_run_counts_once_by_its_outcome_with_its_wall_time(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(SUCCESS)
    assert values(statsd, "claims.runs") == {("success",): 1}
    assert values(statsd, "claims.run.duration") == {("success",): 102.0}


def test_a_dump_without_a_contract_is_of_an_unknown_dataset(statsd: StatsdListener) -> None:
    dump: DumpReport = dataclasses.replace(REFUSED, feed="indici/?")
    sink(statsd).run_metrics(dataclasses.replace(ATTENTION, dumps=(dump,), failed_checks=()))
    assert {line.tags["dataset"] for line in statsd.metrics() if line.name == "claims.dumps"} == {"unknown"}


def test_no_key_of_a_dump_becomes_a_tag(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(SUCCESS)
    assert not any("submissions_20261121" in line for line in statsd.lines(at_least=1))


@pytest.mark.parametrize(("report", "alert"), [(FAILURE, "error"), (ATTENTION, "warning")])
def test_trouble_is_an_event_under_the_senders_aggregation_key(
    statsd: StatsdListener, report: RunReport, alert: str
) -> None:
    sink(statsd).run_metrics(report)
    (event,) = statsd.events()
    assert f"|k:claims_pipeline.va_form526|s:claims_pipeline|t:{alert}|#sender:va_form526,env:test" in event


def test_a_good_run_is_no_event(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(SUCCESS)
    assert statsd.events() == []


def test_an_event_of_any_length_and_characters_fits_its_datagram(statsd: StatsdListener) -> None:
    sink(statsd).run_metrics(dataclasses.replace(FAILURE, error="\ud800\n é" * 9000))
    assert len(statsd.events()) == 1


def test_nothing_waits_in_a_buffer_when_the_call_returns(statsd: StatsdListener) -> None:
    sink(statsd).delivered(DeliveryNews.MISSING, [ABSENT])
    assert [line.name for line in statsd.metrics(at_least=1)] == ["claims.dumps.missing"]


@pytest.mark.usefixtures("fresh_alerts")
def test_an_agent_that_is_down_is_not_noticed_by_the_load() -> None:
    closed = StatsdListener()
    port = closed.port
    closed.stop()
    agentless = DatadogSink("127.0.0.1", port)
    agentless.run_metrics(EVERYTHING)
    agentless.run_metrics(EVERYTHING)


@pytest.mark.usefixtures("fresh_alerts")
def test_a_host_that_does_not_resolve_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    hostless = DatadogSink("not a host name")
    hostless.run_metrics(EVERYTHING)
    hostless.run_metrics(EVERYTHING)
    assert caplog.messages == ["Datadog's agent could not be reached: socket.gaierror; loading goes on"]


@pytest.mark.usefixtures("fresh_alerts")
@pytest.mark.parametrize("host", [None, ""])
def test_without_a_host_datadog_is_off_and_says_so_once(caplog: pytest.LogCaptureFixture, host: str | None) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        DatadogSink(host).run_metrics(SUCCESS)
    assert caplog.messages == ["Datadog is off: no DogStatsD host is set"]


def test_the_table_documents_every_metric() -> None:
    lines = metrics_table().splitlines()
    assert len(lines) == len(METRICS) + 2
    assert "| `claims.rejects` | count | row | sender, dataset, rule | Quarantined rows by rule. |" in lines


# ------------------------------------------------------------------------------------------ upkeep


def test_the_ages_of_backup_and_drill_are_sent(statsd: StatsdListener) -> None:
    sink(statsd).backups(backup_age=90_000, drill_age=700_000, backup_bytes=5, backup_seconds=6)
    found = {line.name: line.value for line in statsd.metrics()}
    assert (found["claims.backup.age"], found["claims.backup.drill.age"]) == (90_000, 700_000)


def test_without_a_backup_there_is_an_age_and_no_size(statsd: StatsdListener) -> None:
    sink(statsd).backups(backup_age=1, drill_age=1, backup_bytes=None, backup_seconds=None)
    assert {line.name for line in statsd.metrics(at_least=2)} == {"claims.backup.age", "claims.backup.drill.age"}


def test_a_failed_task_of_upkeep_is_an_event(statsd: StatsdListener) -> None:
    sink(statsd).upkeep_failed(task="backup", title="Upkeep: backup failed", text="no room")
    (event,) = statsd.events()
    assert ("Upkeep: backup failed" in event, "no room" in event) == (True, True)
