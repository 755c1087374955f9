"""How a feed's calendar becomes Dagster's freshness policy, and the times of its sender's schedule."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import dagster as dg
import pytest

from claims_pipeline.feeds.contract import Calendar, Feed, Holidays
from claims_pipeline.feeds.va_form526 import FEEDS, SENDER
from claims_pipeline.orchestration import keys
from claims_pipeline.orchestration.keys import crons_of, freshness_of

HOURS = dt.timedelta(hours=1)


def feed(calendar: Calendar) -> Feed:
    """A feed with a calendar of its own."""
    return replace(FEEDS[0], calendar=calendar)


@pytest.mark.parametrize(
    ("calendar", "cron", "hours"),
    [
        (Calendar(due=dt.time(9)), "0 9 * * 0,1,2,3,4,5,6", 9),
        (Calendar((1, 2, 3, 4, 5), dt.time(6, 30)), "30 6 * * 1,2,3,4,5", 6.5),
        (Calendar((1, 2), dt.time(9), grace=90 * HOURS / 60), "30 10 * * 1,2", 10.5),
        (Calendar((5, 6), dt.time(23), grace=3 * HOURS), "0 2 * * 0,6", 24),  # missing on the day after
        (Calendar((7,), dt.time(0)), "0 0 * * 0", 1),
        (Calendar((7,), dt.time(9, 0, 30)), "1 9 * * 0", 9 + 1 / 60),
    ],
)
def test_a_table_is_to_be_written_on_the_delivery_day_until_the_deadline(
    calendar: Calendar, cron: str, hours: float
) -> None:
    policy = freshness_of(feed(calendar))
    assert policy == dg.FreshnessPolicy.cron(cron, hours * HOURS, SENDER.timezone)


def test_with_holidays_a_table_is_stale_only_after_the_longest_pause() -> None:
    """A cron expression cannot say holidays, so Dagster's policy would fail on each."""
    calendar = Calendar((1, 2, 3, 4, 5), dt.time(9), Holidays("NZ", "AUK"), grace=HOURS)
    assert freshness_of(feed(calendar)) == dg.FreshnessPolicy.time_window(dt.timedelta(days=6, hours=1))


def test_the_schedule_ticks_whenever_a_feed_of_the_sender_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = (
        FEEDS[0],
        feed(Calendar(due=dt.time(7, 15))),
        feed(Calendar((1,), dt.time(9))),
        feed(Calendar(due=dt.time(9), grace=90 * HOURS / 60)),
        feed(Calendar(due=dt.time(23), grace=2 * HOURS)),
    )
    monkeypatch.setattr(keys, "feeds_of", lambda name: feeds)
    assert crons_of(SENDER) == ["0 1 * * *", "15 7 * * *", "0 9 * * *", "30 10 * * *"]
