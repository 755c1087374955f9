"""Every monitor of our own metrics alerts by what is really sent when its trouble is told; and not otherwise.

Belongs here: a monitor's query, evaluated over the lines that an agent received, as far as our queries go. Does not
belong here: what the queries look like (`test_declared`).
"""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from claims_pipeline.alerts import Alerts, DatadogSink
from claims_pipeline.alerts.runbooks import OF_TASK
from claims_pipeline.monitors import Target, declared_for, monitors
from claims_pipeline.vocabulary import CheckName, CheckOutcome, DeliveryNews, DumpStatus, DumpVerdict, Pulse
from claims_pipeline_tests.alerts.reports import ATTENTION, FAILURE, LOADED, SUCCESS, TOO_LATE
from claims_pipeline_tests.fix_listeners import StatsdLine, StatsdListener

FEED = "va_form526/submissions"
DAYS = 86_400.0
TARGETS = [Target(env="prod", runbooks=""), Target(env="prod", runbooks="", lean=True)]
QUERIES = {
    declared.key: body["query"]
    for target in TARGETS
    for declared, body in zip(declared_for(target), monitors(target), strict=True)
    if "aws." not in body["query"]
}
_QUERY = re.compile(
    r"(sum|min|max)\(last_\w+\):(default_zero\()?(?:sum|max):([a-z0-9_.]+)\{(.*?)\}(?: by \{(.*?)\})?"
    r"(?:\.as_count\(\))?\)? ([<>]) (\d+)"
)
_AGGREGATED: dict[str, Callable[[list[float]], float]] = {"sum": sum, "min": min, "max": max}


def alerts_by(query: str, lines: Sequence[StatsdLine]) -> bool:
    """Whether a monitor alerts, were all lines within its window."""
    found = _QUERY.fullmatch(query)
    assert found, query
    aggregated, zero, name, scope, by, compared, threshold = found.groups()
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for line in lines:
        if line.name == name and all(_holds(term, line.tags) for term in scope.split(" AND ")):
            groups[tuple(line.tags[tag] for tag in (by or "").split(",") if tag)].append(line.value)
    if zero and not by:
        groups[()].append(0)
    values = [_AGGREGATED[aggregated](group) for group in groups.values()]
    return any((operator.lt if compared == "<" else operator.gt)(value, int(threshold)) for value in values)


def _holds(term: str, tags: dict[str, str]) -> bool:
    if found := re.fullmatch(r"(\w+) (NOT IN|IN) \((.*)\)", term):
        return (tags[found[1]] in found[3].split(", ")) == (found[2] == "IN")
    name, _, value = term.partition(":")
    return tags[name] == value


def run_of(status: DumpStatus, verdict: DumpVerdict) -> Callable[[Alerts], object]:
    """A run whose one dump ended so."""
    dump = replace(LOADED, status=status, verdict=verdict)
    return lambda alerts: alerts.run_ended(replace(ATTENTION, dumps=(dump,), failed_checks=()))


def check_of(name: CheckName) -> Callable[[Alerts], object]:
    """A run in which a check did not pass."""
    outcome = CheckOutcome(name=name, passed=False, summary="", figures={})
    return lambda alerts: alerts.run_ended(replace(ATTENTION, failed_checks=((FEED, outcome),)))


def task(name: str) -> Callable[[Alerts], object]:
    """A failed task of upkeep."""
    return lambda alerts: alerts.upkeep_failed(task=name, error="no room", run_id="")


def pulse(held: int = 0, days: int = 0, *, reports: bool = False) -> Callable[[Alerts], object]:
    """How things stand."""
    now = Pulse(held={FEED: held}, days_behind={FEED: days}, reports_behind={"va_form526": reports})
    return lambda alerts: alerts.pulse(now)


def backups(backup: float, drill: float) -> Callable[[Alerts], object]:
    """How old the last good backup and drill are."""
    return lambda alerts: alerts.backups(backup_age=backup, drill_age=drill, backup_bytes=1, backup_seconds=1.0)


def audit(age: float) -> Callable[[Alerts], object]:
    """How long ago the audit was found unbroken."""
    return lambda alerts: alerts.audit(age=age)


def unheard(alerts: Alerts) -> None:
    """Four ticks that could not read the queue."""
    for _ in range(4):
        alerts.events({"unheard": 1}, oldest_seconds=None)


def delivery(news: DeliveryNews) -> Callable[[Alerts], object]:
    """A delivery that was otherwise than agreed."""
    return lambda alerts: alerts.count_deliveries(news, [TOO_LATE])


TROUBLES: dict[str, Callable[[Alerts], object]] = {
    "missing_dump": delivery(DeliveryNews.MISSING),
    "unexpected_delivery": delivery(DeliveryNews.LATE),
    "feed_behind": pulse(days=2),
    "failed_load": lambda alerts: alerts.run_ended(FAILURE),
    "given_up_dump": run_of(DumpStatus.FAILED, DumpVerdict.NEW),
    "held_dump": pulse(held=1),
    "refused_dump": run_of(DumpStatus.REFUSED, DumpVerdict.UNREADABLE),
    "unknown_dump": run_of(DumpStatus.SKIPPED, DumpVerdict.UNKNOWN),
    "quarantine_above_budget": check_of(CheckName.REJECTS_WITHIN_BUDGET),
    "check_failed": check_of(CheckName.ROW_CONSERVATION),
    "no_heartbeat": lambda alerts: alerts.caught_up(),
    "no_catch_up": lambda alerts: alerts.heartbeat(),
    "queue_unreadable": unheard,
    "reports_behind": pulse(reports=True),
    "backup_too_old": backups(2.1 * DAYS, DAYS),
    "restore_drill_too_old": backups(DAYS, 15.1 * DAYS),
    "audit_broken": task("audit"),
    "audit_too_old": audit(2.1 * DAYS),
    **{f"{name}_failed": task(name) for name in OF_TASK if name != "audit"},
    "upkeep_failed": task("prune"),
}


@pytest.fixture
def alerts(statsd: StatsdListener) -> Alerts:
    """Alerts with an agent."""
    return Alerts(slack=None, datadog=DatadogSink("127.0.0.1", statsd.port, tags=["env:prod"]))


def test_every_monitor_of_our_own_metrics_is_tried_here() -> None:
    assert QUERIES.keys() == TROUBLES.keys()


@pytest.mark.parametrize("key", TROUBLES)
def test_a_monitor_alerts_when_its_trouble_is_told(key: str, alerts: Alerts, statsd: StatsdListener) -> None:
    TROUBLES[key](alerts)
    assert alerts_by(QUERIES[key], statsd.metrics())


def test_no_monitor_alerts_when_all_is_well(alerts: Alerts, statsd: StatsdListener) -> None:
    for tell in (pulse(), backups(DAYS, 7 * DAYS), audit(DAYS), Alerts.heartbeat, Alerts.caught_up):
        tell(alerts)
    alerts.run_ended(SUCCESS)
    delivery(DeliveryNews.RECOVERED)(alerts)
    assert [key for key, query in QUERIES.items() if alerts_by(query, statsd.metrics())] == []


def test_a_held_dump_is_not_told_as_refused(alerts: Alerts, statsd: StatsdListener) -> None:
    run_of(DumpStatus.REFUSED, DumpVerdict.HELD)(alerts)
    assert not alerts_by(QUERIES["refused_dump"], statsd.metrics())


def test_what_is_of_another_env_does_not_alert(statsd: StatsdListener) -> None:
    staging = Alerts(slack=None, datadog=DatadogSink("127.0.0.1", statsd.port, tags=["env:staging"]))
    delivery(DeliveryNews.MISSING)(staging)
    assert not alerts_by(QUERIES["missing_dump"], statsd.metrics())
