"""Datadog: documented metrics and events over DogStatsD, by UDP, which neither blocks nor raises.

Belongs here: which report becomes which figure. Does not belong here: the list of metrics (`metrics`), what Slack is
told, and keys, run ids or rows as tags (each new value of a tag is a new, paid series).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from claims_pipeline.alerts.messages import next_step, run_headline
from claims_pipeline.alerts.metrics import (
    AUDIT_AGE,
    BACKUP_AGE,
    BACKUP_BYTES,
    BACKUP_DURATION,
    CATCH_UP,
    CHECKS_FAILED,
    DAYS_BEHIND,
    DELIVERIES,
    DRILL_AGE,
    DUMP_BYTES,
    DUMPS,
    DUMPS_HELD,
    DUMPS_MISSING,
    EVENTS,
    EVENTS_AGE,
    HEARTBEAT,
    ISSUES,
    LATENESS,
    LOAD_DURATION,
    REJECTS,
    REPORTS_BEHIND,
    ROWS,
    RUN_DURATION,
    RUNS,
    UPKEEP_FAILED,
    Metric,
)
from claims_pipeline.alerts.once import say_once
from claims_pipeline.alerts.text import cut, one_line
from claims_pipeline.errors import safe_text
from claims_pipeline.vocabulary import Delivery, DeliveryNews, Pulse, RunReport

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd

MAX_EVENT = 1000  # an event is one datagram; DogStatsD's limit is 8 KB


class DatadogSink:
    """A DogStatsD agent. Without a host it says so once and takes nothing."""

    def __init__(self, host: str | None, port: int = 8125, *, tags: Sequence[str] = ()) -> None:
        """Remember where to send; nothing is sent yet.

        Args:
            host: the agent's host; None or blank switches Datadog off.
            port: the agent's UDP port.
            tags: constant tags ("env:prod") on every metric and event.
        """
        self._client: DogStatsd | None = None
        if not host:
            say_once(logging.INFO, "Datadog is off: no DogStatsD host is set")
            return
        from datadog.dogstatsd.base import DogStatsd  # with requests: 0.1 s that a process without a host saves

        # Buffered, so that a run with many dumps is a few full datagrams and not hundreds that overflow the agent's
        # socket; flush_interval 0 because we flush ourselves and need no thread; no telemetry: it is undocumented here.
        self._client = DogStatsd(
            host=host,
            port=port,
            constant_tags=list(tags),
            disable_buffering=False,
            flush_interval=0,
            disable_telemetry=True,
        )

    def run_metrics(self, report: RunReport, *, title: str | None = None) -> None:
        """Send a run's metrics, and an event unless all went well.

        Args:
            report: the run's report.
            title: the sender's name for people, for the event.
        """
        batch = _Batch()
        of_run = {"sender": report.sender, "outcome": report.outcome}
        batch.add(RUNS, 1, **of_run)
        batch.add(RUN_DURATION, report.seconds, **of_run)
        for dump in report.dumps:
            feed = _feed_tags(dump.feed)
            status = dump.status.value
            batch.add(DUMPS, 1, **feed, verdict=dump.verdict.value if dump.verdict else "not_read", status=status)
            batch.add(DUMP_BYTES, dump.bytes, **feed)
            batch.add(LOAD_DURATION, dump.seconds, **feed, status=status)
            for verdict, rows in dump.rows.as_dict().items():
                if verdict != "read":
                    batch.add(ROWS, rows, **feed, verdict=verdict)
            for rule, rows in dump.rejects.items():
                batch.add(REJECTS, rows, **feed, rule=rule)
            for rule, values in dump.issues.items():
                batch.add(ISSUES, values, **feed, rule=rule)
        for name, check in report.failed_checks:
            batch.add(CHECKS_FAILED, 1, **_feed_tags(name), check=check.name.value)
        if report.outcome != "success":
            batch.event = _Event(
                sender=report.sender,
                title=run_headline(report, title=title),
                text=" ".join(filter(None, (report.error, report.next_step or next_step(report)))),
                alert="error" if report.outcome == "failure" else "warning",
            )
        self._send(batch)

    def run_crashed(self, *, sender: str, title: str, text: str) -> None:
        """Count a run that was killed, and send an event about it.

        Args:
            sender: the sender whose dumps it was to handle.
            title: the event's title.
            text: the event's text.
        """
        batch = _Batch()
        batch.add(RUNS, 1, sender=sender, outcome="crash")
        batch.event = _Event(sender=sender, title=title, text=text, alert="error")
        self._send(batch)

    def delivered(self, news: DeliveryNews, deliveries: Sequence[Delivery]) -> None:
        """Count deliveries that are missing or came otherwise than the calendar says, and how late they were."""
        batch = _Batch()
        for delivery in deliveries:
            feed = _feed_tags(delivery.feed)
            if news is DeliveryNews.MISSING:
                batch.add(DUMPS_MISSING, 1, **feed)
                continue
            batch.add(DELIVERIES, 1, **feed, news=news.value)
            if news in (DeliveryNews.LATE, DeliveryNews.RECOVERED):
                batch.add(LATENESS, delivery.late_by.total_seconds(), **feed)
        self._send(batch)

    def events(self, kinds: Mapping[str, int], *, oldest_seconds: float | None) -> None:
        """Count events of S3 by what they told, and send how long the oldest had waited.

        Args:
            kinds: how many of which kind.
            oldest_seconds: since the oldest was sent; None where the queue could not be read.
        """
        batch = _Batch()
        for kind, events in kinds.items():
            batch.add(EVENTS, events, kind=kind)
        if oldest_seconds is not None:
            batch.add(EVENTS_AGE, oldest_seconds)
        self._send(batch)

    def upkeep_failed(self, *, task: str, title: str, text: str) -> None:
        """Count a task of upkeep that failed, and send an event about it.

        Args:
            task: its asset's name.
            title: the event's title.
            text: the event's text.
        """
        batch = _Batch()
        batch.add(UPKEEP_FAILED, 1, task=task)
        batch.event = _Event(sender="upkeep", title=title, text=text, alert="error")
        self._send(batch)

    def backups(
        self, *, backup_age: float, drill_age: float, backup_bytes: int | None, backup_seconds: float | None
    ) -> None:
        """Send how the backups stand.

        Args:
            backup_age: seconds since the last good backup.
            drill_age: seconds since the last good drill.
            backup_bytes: size of the last good backup; None where there is none.
            backup_seconds: that it took; None where there is none.
        """
        batch = _Batch()
        batch.add(BACKUP_AGE, backup_age)
        batch.add(DRILL_AGE, drill_age)
        if backup_bytes is not None and backup_seconds is not None:
            batch.add(BACKUP_BYTES, backup_bytes)
            batch.add(BACKUP_DURATION, backup_seconds)
        self._send(batch)

    def audit(self, *, age: float) -> None:
        """Send how long ago (seconds) the audit was found unbroken."""
        batch = _Batch()
        batch.add(AUDIT_AGE, age)
        self._send(batch)

    def heartbeat(self) -> None:
        """Count a sign of life."""
        batch = _Batch()
        batch.add(HEARTBEAT, 1)
        self._send(batch)

    def caught_up(self) -> None:
        """Count a `catch-up` that came to its end."""
        batch = _Batch()
        batch.add(CATCH_UP, 1)
        self._send(batch)

    def pulse(self, pulse: Pulse) -> None:
        """Send how things stand."""
        batch = _Batch()
        for feed, held in pulse.held.items():
            batch.add(DUMPS_HELD, held, **_feed_tags(feed))
        for feed, days in pulse.days_behind.items():
            batch.add(DAYS_BEHIND, days, **_feed_tags(feed))
        for sender, behind in pulse.reports_behind.items():
            batch.add(REPORTS_BEHIND, int(behind), sender=sender)
        self._send(batch)

    def _send(self, batch: _Batch) -> None:
        if self._client is None:
            return
        try:
            # A name that does not resolve shows here once, and not, after the resolver's time-out, at every datagram.
            self._client.get_socket()
            for (metric, tags), total in batch.counts.items():
                self._client.count(metric.name, total, tags=list(tags))
            for metric, tags, value in batch.values:
                send = self._client.gauge if metric.type == "gauge" else self._client.distribution
                send(metric.name, value, tags=list(tags))
            if batch.event is not None:
                batch.event.send(self._client)
            self._client.flush()
        except OSError as error:
            say_once(logging.WARNING, f"Datadog's agent could not be reached: {safe_text(error)}; loading goes on")


class _Batch:
    """What one report sends: counts added up by their tags, single values, at most one event."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Metric, tuple[str, ...]]] = Counter()
        self.values: list[tuple[Metric, tuple[str, ...], float]] = []
        self.event: _Event | None = None

    def add(self, metric: Metric, value: float, **tags: str) -> None:
        """Add a figure with exactly the tags that the metric documents.

        Raises:
            ValueError: other tags.
        """
        if set(tags) != set(metric.tags):
            msg = f"metric {metric.name} has the tags {metric.tags}, not {tuple(tags)}"
            raise ValueError(msg)
        named = tuple(f"{name}:{tags[name]}" for name in metric.tags)
        if metric.type != "count":
            self.values.append((metric, named, value))
        elif value:
            self.counts[metric, named] += int(value)


@dataclass(frozen=True)
class _Event:
    """An event; those of one sender are shown as one, by the aggregation key."""

    sender: str
    title: str
    text: str
    alert: Literal["error", "warning"]

    def send(self, client: DogStatsd) -> None:
        client.event(
            cut(one_line(self.title), MAX_EVENT // 5),
            cut(one_line(self.text), MAX_EVENT),
            alert_type=self.alert,
            aggregation_key=f"claims_pipeline.{self.sender}",
            source_type_name="claims_pipeline",
            tags=[f"sender:{self.sender}"],
        )


def _feed_tags(feed: str) -> dict[str, str]:
    """Tags of "sender/dataset"; "sender/?", a dump without a contract, is dataset unknown."""
    sender, _, dataset = feed.partition("/")
    return {"sender": sender, "dataset": "unknown" if dataset in ("", "?") else dataset}
