"""What is due, what came, and what people are told of it, each once.

Belongs here: how a delivery stands (pure), and a look at a sender's deliveries that brings `ops.expectation` up to date
and tells. Does not belong here: when dumps are due (feeds/calendars.py), SQL (warehouse/expectations.py), the words
(alerts).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

import psycopg

from claims_pipeline.alerts import Alerts
from claims_pipeline.feeds import Feed, Sender
from claims_pipeline.feeds.calendars import Calendar
from claims_pipeline.vocabulary import Delivery, DeliveryNews, DeliveryState
from claims_pipeline.warehouse import expectations
from claims_pipeline.warehouse.expectations import Expectation

WATCHED_DAYS = 31
"""Days back at which late arrivals are still noticed; also how long a watch that stood still is made up for."""

# ---------------------------------------------------------------------------------------------- how a delivery stands


def judge(
    calendar: Calendar,
    zone: ZoneInfo,
    *,
    feed: str,
    day: dt.date,
    arrivals: Sequence[dt.datetime],
    now: dt.datetime,
) -> Delivery:
    """How what is due of a feed on a delivery day stands.

    Too many goes before late, late before early: the later of two is what a person has to look into.

    Args:
        calendar: that expects the day.
        zone: the sender's.
        feed: its name.
        day: delivery day.
        arrivals: when dumps of the day were uploaded; aware, each name once. None is later than now: clocks differ.
        now: aware.
    """
    moments = sorted(min(moment, now).astimezone(dt.UTC) for moment in arrivals)
    due_at, earliest = calendar.due_at(day, zone), calendar.earliest_at(day, zone)
    completed_at = moments[calendar.dumps - 1] if len(moments) >= calendar.dumps else None
    if len(moments) > calendar.dumps:
        state = DeliveryState.DOUBLE
    elif completed_at is None:
        waited = DeliveryState.MISSING if now >= calendar.deadline(day, zone) else DeliveryState.LATE
        state = waited if now >= due_at else DeliveryState.DUE
    elif completed_at > due_at:
        state = DeliveryState.LATE
    elif earliest and moments[0] < earliest:
        state = DeliveryState.EARLY
    else:
        state = DeliveryState.ARRIVED
    return Delivery(feed, day, state, due_at, calendar.dumps, len(moments), completed_at)


def news_of(delivery: Delivery, told: Collection[DeliveryNews]) -> DeliveryNews | None:
    """What there is to tell of a delivery that was not told; the most important where there is more.

    Args:
        delivery: how it stands.
        told: what was told of it.
    """
    if delivery.completed_at is None:
        news = DeliveryNews.MISSING if delivery.state is DeliveryState.MISSING else None
    elif DeliveryNews.MISSING in told and DeliveryNews.RECOVERED not in told:
        news = DeliveryNews.RECOVERED
    elif delivery.state is DeliveryState.DOUBLE:
        news = DeliveryNews.DOUBLE
    elif delivery.state is DeliveryState.LATE:
        # Whoever was told that it had been missing was told by how much it was late.
        news = None if DeliveryNews.RECOVERED in told else DeliveryNews.LATE
    else:
        news = DeliveryNews.EARLY if delivery.state is DeliveryState.EARLY else None
    return None if news in told else news


# ---------------------------------------------------------------------------------------------- the watch


def watch(
    connection: psycopg.Connection, alerts: Alerts, feeds: Sequence[Feed], *, now: dt.datetime, begin: bool
) -> list[Delivery]:
    """Look at a sender's deliveries, note how they stand, and tell what is news, once.

    A feed is watched from the first look that begins it: nobody is told of days before. Days that nobody looked at
    since then, because nothing ran, are made up for.

    Args:
        connection: of the warehouse; not in a transaction.
        alerts: who are told.
        feeds: of one sender.
        now: aware.
        begin: watch today, and days since the last that was watched; else only days that are watched already.

    Returns:
        The deliveries of today, by feed; none where none is due or watched.
    """
    sender, named = feeds[0].sender, {feed.name: feed for feed in feeds}
    zone = ZoneInfo(sender.timezone)
    today = now.astimezone(zone).date()
    since = max(today - dt.timedelta(days=WATCHED_DAYS), sender.start)
    known = expectations.select(connection, [*named], since=since)
    days = {*known}
    if begin:
        last = expectations.last_days(connection, [*named])
        for name, feed in named.items():
            days |= {(name, day) for day in _days_between(feed, max(last.get(name, today), since), today)}
    if not days:
        return []
    arrived = expectations.arrivals(connection, [*named], since=since)
    found = [
        judge(named[name].deliveries, zone, feed=name, day=day, arrivals=arrived.get((name, day), ()), now=now)
        for name, day in sorted(days)
    ]
    expectations.remember(
        connection,
        [d for d in found if (d.feed, d.day) not in known or known[d.feed, d.day].delivery != d],
    )
    _tell(connection, alerts, sender, found, known)
    return [delivery for delivery in found if delivery.day == today]


def _days_between(feed: Feed, first: dt.date, last: dt.date) -> Iterator[dt.date]:
    for n in range((last - first).days + 1):
        day = first + dt.timedelta(days=n)
        if feed.deliveries.expects(day):
            yield day


def _tell(
    connection: psycopg.Connection,
    alerts: Alerts,
    sender: Sender,
    found: Sequence[Delivery],
    known: dict[expectations.Day, Expectation],
) -> None:
    missing: dict[tuple[dt.date, dt.datetime], list[Delivery]] = {}
    others: dict[DeliveryNews, list[Delivery]] = {}
    for delivery in found:
        before = known.get((delivery.feed, delivery.day))
        news = news_of(delivery, before.told if before else ())
        if news is None or not expectations.claim(connection, delivery.feed, delivery.day, news):
            continue
        if news is DeliveryNews.MISSING:
            missing.setdefault((delivery.day, delivery.due_at), []).append(delivery)
        else:
            others.setdefault(news, []).append(delivery)
    zone = ZoneInfo(sender.timezone)
    for (day, due_at), deliveries in missing.items():
        told = alerts.missing(feeds=[delivery.feed for delivery in deliveries], day=day, due=due_at.astimezone(zone))
        _settle(connection, alerts, deliveries, DeliveryNews.MISSING, told=told is not None)
    for news, deliveries in others.items():
        told = alerts.delivered(news=news, deliveries=deliveries, sender=sender.name, timezone=sender.timezone)
        _settle(connection, alerts, deliveries, news, told=told is not None)


def _settle(
    connection: psycopg.Connection, alerts: Alerts, deliveries: Sequence[Delivery], news: DeliveryNews, *, told: bool
) -> None:
    """Where there is a channel that did not take the message, the next look tries again."""
    if told or not alerts.has_channel:
        return
    for delivery in deliveries:
        expectations.release(connection, delivery.feed, delivery.day, news)


# ---------------------------------------------------------------------------------------------- what was due, and is


def history(
    connection: psycopg.Connection, feeds: Sequence[Feed], *, now: dt.datetime, days: int, ahead: int = 0
) -> list[Expectation]:
    """Every delivery that was due in the last days, is due today, or will be; by day, then by feed.

    Of days that were not watched nobody knows whether their dumps came in time: a backlog is copied into an inbox at
    once. They are shown as if they had.

    Args:
        connection: of the warehouse.
        feeds: of one sender.
        now: aware.
        days: before today; none before the sender's first delivery.
        ahead: days after today.
    """
    sender, named = feeds[0].sender, {feed.name: feed for feed in feeds}
    zone = ZoneInfo(sender.timezone)
    today = now.astimezone(zone).date()
    begun = expectations.first_day(connection, sender.name) or today
    first = max(today - dt.timedelta(days=days), sender.start, min(begun, today))
    known = expectations.select(connection, [*named], since=first)
    arrived = expectations.arrivals(connection, [*named], since=first)
    expected = {
        (name, day)
        for name, feed in named.items()
        for day in _days_between(feed, first, today + dt.timedelta(days=ahead))
    }
    found = []
    for name, day in sorted(expected | {*known}, key=lambda item: (item[1], [*named].index(item[0]))):
        calendar, moments, before = named[name].deliveries, arrived.get((name, day), ()), known.get((name, day))
        if before is None:
            moments = tuple(min(moment, calendar.due_at(day, zone)) for moment in moments)
        judged = judge(calendar, zone, feed=name, day=day, arrivals=moments, now=now)
        found.append(replace(before, delivery=judged) if before else Expectation(judged))
    return found
