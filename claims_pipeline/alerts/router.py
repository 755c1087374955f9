"""Who is told what: metrics always, messages where a person should read them, and never an exception.

Belongs here: the decision which message goes where. Does not belong here: words (`messages`) and protocols (`slack`,
`datadog`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from claims_pipeline.alerts.datadog import DatadogSink
from claims_pipeline.alerts.messages import (
    Message,
    Posted,
    crash_message,
    delivery_message,
    digest_message,
    events_message,
    run_message,
    upkeep_message,
    waiting_message,
)
from claims_pipeline.alerts.once import say_once
from claims_pipeline.alerts.runbooks import Runbook, linked, of_dumps, of_report, of_task
from claims_pipeline.alerts.slack import SlackSink
from claims_pipeline.errors import safe_text
from claims_pipeline.vocabulary import Delivery, DeliveryNews, DumpReport, Pulse, RunReport


@dataclass(frozen=True)
class Alerts:
    """Everything that a load, a sensor or the CLI tells people and monitors.

    No method raises, and none takes much longer than `SlackSink`'s patience: what cannot be told is logged once.

    Attributes:
        slack: the channel; None for none.
        datadog: the agent; None for none.
        quiet: no message for a run that went well (the digest tells of it).
        titles: senders' names for people, by identifier.
        runbooks: folder of the runbooks, URL or path.
    """

    slack: SlackSink | None
    datadog: DatadogSink | None
    quiet: bool = False
    titles: Mapping[str, str] = field(default_factory=dict)
    runbooks: str = "docs/runbooks"

    @property
    def has_channel(self) -> bool:
        """Whether messages are posted: one that was not is then worth another try."""
        return self.slack is not None and self.slack.on

    def run_ended(self, report: RunReport, previous: Posted | None = None) -> Posted | None:
        """Tell what a run did: metrics always, a message unless it went well in quiet mode.

        Args:
            report: the run's report.
            previous: the run's message, where one exists already: it is updated, even in quiet mode, since it would
                otherwise stay wrong.

        Returns:
            The run's message; None where there is none.
        """
        with _harmless("a run's metrics"):
            if self.datadog is not None:
                self.datadog.run_metrics(report, title=self.titles.get(report.sender))
        with _harmless("a run's message"):
            if previous is None and self.quiet and report.outcome == "success":
                return None
            message = run_message(report, title=self.titles.get(report.sender))
            return self._tell(message, previous, of_report(report))
        return previous

    def crashed(
        self,
        *,
        run_id: str,
        sender: str,
        days: Sequence[dt.date],
        last_step: str = "",
        run_url: str | None = None,
        previous: Posted | None = None,
    ) -> Posted | None:
        """Tell of a run that was killed, or never started, before it could report; see `crash_message`.

        Returns:
            The run's message; None where there is none.
        """
        with _harmless("a crash's metrics"):
            if self.datadog is not None:
                title = f"{self.titles.get(sender, sender)}: the run was killed"
                text = f"The run ended without a report; last known step: {last_step or 'none'}."
                self.datadog.run_crashed(sender=sender, title=title, text=text)
        with _harmless("a crash's message"):
            message = crash_message(
                run_id=run_id,
                sender=sender,
                days=days,
                last_step=last_step,
                run_url=run_url,
                title=self.titles.get(sender),
            )
            return self._tell(message, previous, Runbook.KILLED_RUN)
        return previous

    def waiting(self, *, day: dt.date, waiting: Sequence[tuple[str, str]]) -> Posted | None:
        """Tell that dumps wait; see `waiting_message`. Without any nothing is said."""
        if not waiting:
            return None
        with _harmless("the message of waiting dumps"):
            return self._tell(waiting_message(day=day, waiting=waiting), None, Runbook.WAITING_DUMP)
        return None

    def count_deliveries(self, news: DeliveryNews, deliveries: Sequence[Delivery]) -> None:
        """Send how many deliveries are otherwise than expected, and how late; once, however often they are told."""
        with _harmless("the metrics of deliveries"):
            if self.datadog is not None and deliveries:
                self.datadog.delivered(news, deliveries)

    def delivered(
        self, *, news: DeliveryNews, deliveries: Sequence[Delivery], sender: str, timezone: str
    ) -> Posted | None:
        """Tell that deliveries are otherwise than expected; see `delivery_message`. In quiet mode, too.

        Returns:
            The message; None where there is none.
        """
        with _harmless("the message of deliveries"):
            message = delivery_message(
                news=news, deliveries=deliveries, timezone=timezone, title=self.titles.get(sender)
            )
            missing = news is DeliveryNews.MISSING
            return self._tell(message, None, Runbook.MISSING_DUMP if missing else Runbook.UNEXPECTED_DELIVERY)
        return None

    def digest(self, *, day: dt.date, dumps: Sequence[DumpReport], missing: Sequence[str] = ()) -> Posted | None:
        """Post a day's digest; see `digest_message`. A schedule asks for it in quiet mode, a person at any time."""
        with _harmless("the digest"):
            page = of_dumps(dumps) or (Runbook.MISSING_DUMP if missing else None)
            return self._tell(digest_message(day=day, dumps=dumps, missing=missing), None, page)
        return None

    def events(self, kinds: Mapping[str, int], *, oldest_seconds: float | None) -> None:
        """Send what was heard of S3's events, and how long the oldest had waited.

        Args:
            kinds: how many of which kind.
            oldest_seconds: since the oldest was sent; None where the queue could not be read.
        """
        with _harmless("the metrics of events"):
            if self.datadog is not None:
                self.datadog.events(kinds, oldest_seconds=oldest_seconds)

    def not_understood(self, reasons: Sequence[str]) -> Posted | None:
        """Tell of messages in the queue of S3's events that are not understood; see `events_message`."""
        with _harmless("the message of events"):
            return self._tell(events_message(reasons), None, Runbook.DEAD_LETTERS)
        return None

    def upkeep_failed(self, *, task: str, error: str, run_id: str, run_url: str | None = None) -> Posted | None:
        """Tell that a task of upkeep failed; see `upkeep_message`. In quiet mode, too.

        Returns:
            The message; None where there is none.
        """
        with _harmless("the metrics of upkeep"):
            if self.datadog is not None:
                self.datadog.upkeep_failed(task=task, title=f"Upkeep: {task} failed", text=error)
        with _harmless("the message of upkeep"):
            message = upkeep_message(task=task, error=error, run_id=run_id, run_url=run_url)
            return self._tell(message, None, of_task(task))
        return None

    def backups(
        self, *, backup_age: float, drill_age: float, backup_bytes: int | None, backup_seconds: float | None
    ) -> None:
        """Send how old the last good backup and drill are (seconds), and what the backup took (bytes, seconds)."""
        with _harmless("the metrics of backups"):
            if self.datadog is not None:
                self.datadog.backups(
                    backup_age=backup_age,
                    drill_age=drill_age,
                    backup_bytes=backup_bytes,
                    backup_seconds=backup_seconds,
                )

    def audit(self, *, age: float) -> None:
        """Send how long ago (seconds) the audit was found unbroken."""
        with _harmless("the metric of the audit"):
            if self.datadog is not None:
                self.datadog.audit(age=age)

    def heartbeat(self) -> None:
        """Send a sign of life, which a monitor misses when it stops."""
        with _harmless("the heartbeat"):
            if self.datadog is not None:
                self.datadog.heartbeat()

    def caught_up(self) -> None:
        """Send that `catch-up` came to its end, which a monitor of the lean mode misses when it does not."""
        with _harmless("the sign of catch-up"):
            if self.datadog is not None:
                self.datadog.caught_up()

    def pulse(self, pulse: Pulse) -> None:
        """Send how things stand: dumps held, feeds and reports behind."""
        with _harmless("the metrics of the pulse"):
            if self.datadog is not None:
                self.datadog.pulse(pulse)

    def _tell(self, message: Message, previous: Posted | None, page: Runbook | None) -> Posted | None:
        if self.slack is None:
            return previous
        message = linked(message, page, self.runbooks)
        if previous is None:
            return self.slack.post(message)
        # An update that failed leaves the old message where it is: the next one tries again.
        return self.slack.update(previous, message) or previous


@contextlib.contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Log a bug of ours by its class, once, instead of letting it fail the load that it was to tell about."""
    try:
        yield
    except Exception as error:  # broad on purpose: alerting never fails a load (design.md, decision 11)
        say_once(logging.ERROR, f"Alerting failed to send {what}: {safe_text(error)}; loading goes on")
