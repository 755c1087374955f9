"""Fixture: a sender of the test's own whose deliveries are watched, and people who are told.

Belongs here: arrivals, looks, what was told. Does not belong here: what is expected.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from claims_pipeline import deliveries
from claims_pipeline.alerts import Alerts, DatadogSink, SlackSink
from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import Calendar, Holidays, Sender
from claims_pipeline.warehouse import expectations, ledger
from claims_pipeline_tests.fix_listeners import SlackListener, StatsdListener
from claims_pipeline_tests.fix_warehouse import Lab, Visits

ZONE = ZoneInfo("Pacific/Auckland")
TUESDAY = dt.date(2026, 5, 5)
HOUR, MINUTE, DAY = dt.timedelta(hours=1), dt.timedelta(minutes=1), dt.timedelta(days=1)
CALENDAR = Calendar((1, 2, 3, 4, 5), dt.time(9), Holidays("NZ", "AUK"), grace=HOUR, earliest=dt.time(4))
DUE = CALENDAR.due_at(TUESDAY, ZONE)


@dataclass
class Watch:
    """A sender of the test's own with two feeds, and people who are told."""

    lab: Lab
    alerts: Alerts
    slack: SlackListener
    feeds: tuple[Feed, ...]
    uploads: int = 0

    def arrive(self, *, feed: int = 0, day: dt.date = TUESDAY, late: dt.timedelta = -HOUR, key: str = "") -> None:
        """A dump of a day is uploaded, so much after it is due."""
        self.uploads += 1
        one = self.feeds[feed]
        arrival = ledger.Arrival(
            sender=one.sender.name,
            dataset=one.dataset,
            bucket="inbox",
            key=key or f"{one.name}_{self.uploads}.csv",
            etag=f"etag{self.uploads}",
            size_bytes=1,
            last_modified=one.deliveries.due_at(day, ZONE) + late,
            delivery_day=day,
            stamp=dt.datetime.combine(day, dt.time(3), dt.UTC),
        )
        assert ledger.register(self.lab.connection, [arrival])

    def look(self, at: dt.timedelta = 2 * HOUR, *, begin: bool = True) -> list[str]:
        """One look, so much after Tuesday's dumps are due; the headlines that are told."""
        before = len(self.slack.calls)
        deliveries.watch(self.lab.connection, self.alerts, self.feeds, now=DUE + at, begin=begin)
        return [call.payload["blocks"][0]["text"]["text"] for call in self.slack.calls[before:]]

    @property
    def sender(self) -> str:
        """Its name."""
        return self.feeds[0].sender.name

    def undo(self, key: str) -> None:
        """A person takes a dump out, as far as the ledger tells."""
        self.lab.connection.execute(
            "update ops.dump set status = 'undone' where sender = %s and key = %s", [self.sender, key]
        )

    def states(self, *, since: dt.date = TUESDAY) -> list[str]:
        """The states that are noted, by day and feed."""
        found = expectations.select(self.lab.connection, self.feeds, since=since).expectations
        return [found[key].delivery.state.value for key in sorted(found, key=lambda key: (key[1], key[0]))]


@pytest.fixture
def watch(lab: Lab, slack_api: SlackListener, statsd: StatsdListener) -> Watch:
    name = f"clinic_{secrets.token_hex(4)}"
    sender = Sender(name, "A clinic", "Pacific/Auckland", f"{name}/", dt.date(2026, 1, 1), CALENDAR)
    alerts = Alerts(
        slack=SlackSink("token", "#claims", base_url=slack_api.base_url, timeout=60),
        datadog=DatadogSink("127.0.0.1", statsd.port),
        titles={name: "A clinic"},
    )
    feeds = tuple(Feed(sender, dataset, Visits, (rf"^{dataset}",)) for dataset in ("visits", "wards"))
    return Watch(lab, alerts, slack_api, feeds)
