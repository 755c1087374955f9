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

_DAY = dt.timedelta(days=1)
_SHORTEST_WINDOW = dt.timedelta(hours=1)
"""For dumps that are due at midnight, or just after it."""


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
    """A table is fresh when it was written between the beginning of a delivery day and when its dump is missing.

    Not before: a dump that was late yesterday would else hide that today's is missing. A cron expression knows weekdays
    and no holidays, and Dagster takes no window longer than from one of its times to the next. Where holidays count,
    the policy is therefore the longest pause that the calendar makes, and tells late: there the check `fresh` is the
    truth, and this a backstop.
    """
    return _policy(feed.deliveries, feed.sender.start, feed.sender.timezone)


@functools.cache
def _policy(calendar: Calendar, start: dt.date, timezone: str) -> dg.FreshnessPolicy:
    if calendar.holidays:
        # Written as early as at the day's beginning, and not again before the end of the next day that is expected.
        pause = calendar.longest_pause(start) + dt.timedelta(days=1) + calendar.grace
        return dg.FreshnessPolicy.time_window(fail_window=pause)
    missing = _missing_after(calendar)
    weekdays = ",".join(str(day) for day in sorted({(day + missing // _DAY) % 7 for day in calendar.weekdays}))
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"{_time_of(missing)} * * {weekdays}",
        lower_bound_delta=min(max(missing, _SHORTEST_WINDOW), _DAY),
        timezone=timezone,
    )


def arrivals_name(sender: Sender) -> str:
    """The sensor that looks into a sender's inbox."""
    return f"arrivals_{sender.name}"


def crons_of(sender: Sender) -> list[str]:
    """The times of day from which on dumps of a sender's feeds are missing, as cron expressions, earliest first."""
    calendars = {feed.deliveries for feed in feeds_of(sender.name)} or {sender.calendar}
    times = sorted({_missing_after(calendar) % _DAY for calendar in calendars})
    return [f"{_time_of(missing)} * * *" for missing in times]


def _missing_after(calendar: Calendar) -> dt.timedelta:
    """From the beginning of a delivery day until its dump is missing; whole minutes, and never a second too early."""
    minute = dt.timedelta(minutes=1)
    seconds = dt.timedelta(seconds=calendar.due.second, microseconds=calendar.due.microsecond)
    missing = dt.timedelta(hours=calendar.due.hour, minutes=calendar.due.minute) + seconds + calendar.grace
    return -(-missing // minute) * minute


def _time_of(since_midnight: dt.timedelta) -> str:
    """Minute and hour, as a cron expression begins."""
    hours, minutes = divmod(since_midnight % _DAY // dt.timedelta(minutes=1), 60)
    return f"{minutes} {hours}"
