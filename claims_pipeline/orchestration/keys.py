"""What Dagster knows a feed by: asset keys, partitions, freshness, tags of runs. Pure."""

from __future__ import annotations

import datetime as dt
import functools

import dagster as dg

from claims_pipeline.feeds import Feed, Sender, feeds_of
from claims_pipeline.feeds.calendars import Calendar

REQUEST_TAG = "claims_pipeline/request"
"""On runs asked for by a sensor or schedule: they take the pending dumps. Runs without it reprocess the whole day."""

SENDER_TAG = "claims_pipeline/sender"


def raw_key(feed: Feed) -> dg.AssetKey:
    """The archived bytes."""
    return dg.AssetKey(["raw", feed.sender.name, feed.dataset])


def validated_key(feed: Feed) -> dg.AssetKey:
    """The validated frames."""
    return dg.AssetKey(["validated", feed.sender.name, feed.dataset])


def table_key(feed: Feed) -> dg.AssetKey:
    """The Postgres table."""
    return dg.AssetKey([feed.sender.name, feed.dataset])


def feed_keys(feed: Feed) -> list[dg.AssetKey]:
    """The feed's assets in the order of the data."""
    return [raw_key(feed), validated_key(feed), table_key(feed)]


@functools.cache
def partitions_of(sender: Sender) -> dg.DailyPartitionsDefinition:
    """One partition a delivery day, in the sender's time zone, today included."""
    return dg.DailyPartitionsDefinition(start_date=sender.start.isoformat(), timezone=sender.timezone, end_offset=1)


def freshness_of(feed: Feed) -> dg.FreshnessPolicy:
    """A table is fresh when it was written in the 24 hours before each time that a dump of its feed is missing.

    A cron expression knows weekdays and no holidays, and Dagster takes no window longer than from one of its times to
    the next. Where holidays count, the policy is therefore the longest pause that the calendar makes, and tells late:
    there the check `fresh` is the truth, and this a backstop.
    """
    return _policy(feed.deliveries, feed.sender.start, feed.sender.timezone)


@functools.cache
def _policy(calendar: Calendar, start: dt.date, timezone: str) -> dg.FreshnessPolicy:
    if calendar.holidays:
        # Written as early as at the day's beginning, and not again before the end of the next day that is expected.
        pause = calendar.longest_pause(start) + dt.timedelta(days=1) + calendar.grace
        return dg.FreshnessPolicy.time_window(fail_window=pause)
    later, at = divmod(_minutes(calendar.due) + calendar.grace // dt.timedelta(minutes=1), 24 * 60)
    weekdays = ",".join(str(day) for day in sorted({(day + later) % 7 for day in calendar.weekdays}))
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"{at % 60} {at // 60} * * {weekdays}",
        lower_bound_delta=dt.timedelta(hours=24),
        timezone=timezone,
    )


def crons_of(sender: Sender) -> list[str]:
    """The times of day at which dumps of a sender's feeds are due, as cron expressions, earliest first."""
    times = sorted({feed.deliveries.due for feed in feeds_of(sender.name)} or {sender.calendar.due})
    return list(dict.fromkeys(f"{due.minute} {due.hour} * * *" for due in times))


def _minutes(time: dt.time) -> int:
    return time.hour * 60 + time.minute
