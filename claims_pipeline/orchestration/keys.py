"""What Dagster knows a feed by: asset keys, partitions, freshness, tags of runs. Pure."""

from __future__ import annotations

import datetime as dt
import functools

import dagster as dg

from claims_pipeline.feeds import Feed, Sender

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


@functools.cache
def freshness_of(sender: Sender) -> dg.FreshnessPolicy:
    """A table is fresh when it was written in the 24 hours before each time that the sender's dumps are due."""
    calendar = sender.calendar
    weekdays = ",".join(str(day % 7) for day in calendar.weekdays)
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"{calendar.due.minute} {calendar.due.hour} * * {weekdays}",
        lower_bound_delta=dt.timedelta(hours=24),
        timezone=sender.timezone,
    )
