"""What is due, what came, and what people are told of it, each once.

Belongs here: how a delivery stands (pure), and a look at a sender's deliveries that brings `ops.expectation` up to date
and tells. Does not belong here: when dumps are due (feeds/calendars.py), SQL (warehouse/expectations.py), the words
(alerts).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
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

    A feed is watched from the first look that begins it: nobody is told of days before. From then on every look goes on
    with the days since. Most looks find nothing to note or tell, and cost one query.

    Whoever has something to tell is alone with it, and looks again first. What was told is noted after the channel took
    it: of a process that is killed in between, the message comes twice rather than never.

    Args:
        connection: of the warehouse; not in a transaction.
        alerts: who are told.
        feeds: of one sender.
        now: aware.
        begin: begin to watch feeds that were not watched in the last `WATCHED_DAYS`, with today.

    Returns:
        The deliveries of today, by feed; none where none is due or watched.
    """
    sender = feeds[0].sender
    today = now.astimezone(ZoneInfo(sender.timezone)).date()
    seen = _look(connection, feeds, now=now, today=today, begin=begin)
    if any(one.changed or one.news for one in seen):
        with expectations.lock(connection, sender.name):
            seen = _look(connection, feeds, now=now, today=today, begin=begin)
            expectations.remember(connection, [one.delivery for one in seen if one.changed])
            _tell(connection, alerts, sender, seen)
    return [one.delivery for one in seen if one.delivery.day == today]


@dataclass(frozen=True)
class _Seen:
    """A delivery as a look finds it.

    Attributes:
        delivery: how it stands.
        changed: whether that is not noted.
        news: what is to be told of it now.
        counted: what monitors are to be sent of it now: the same, but once, though a message is tried again and again.
    """

    delivery: Delivery
    changed: bool
    news: DeliveryNews | None
    counted: DeliveryNews | None


def _look(
    connection: psycopg.Connection, feeds: Sequence[Feed], *, now: dt.datetime, today: dt.date, begin: bool
) -> list[_Seen]:
    sender, named = feeds[0].sender, {feed.name: feed for feed in feeds}
    since = max(today - dt.timedelta(days=WATCHED_DAYS), sender.start)
    known = expectations.select(connection, feeds, since=since)
    last: dict[str, dt.date] = dict.fromkeys(named, today) if begin else {}
    last |= dict(sorted(known.expectations))
    # A day that the calendar no longer expects is let go, unless people wait to hear that it came.
    days = {key for key, one in known.expectations.items() if one.told or named[key[0]].deliveries.expects(key[1])}
    days |= {(name, day) for name, first in last.items() for day in _days_between(named[name], first, today)}
    seen = []
    for name, day in sorted(days):
        before, arrived = known.expectations.get((name, day)), known.arrivals.get((name, day), ())
        delivery = judge(
            named[name].deliveries, ZoneInfo(sender.timezone), feed=name, day=day, arrivals=arrived, now=now
        )
        news = news_of(delivery, before.told if before else ())
        if before is None:
            seen.append(_Seen(delivery, True, news, news))
        else:
            again = before.refused and news is news_of(before.delivery, before.told)
            changed = before.delivery != delivery
            seen.append(_Seen(delivery, changed, None if before.waits else news, None if again else news))
    return seen


def _days_between(feed: Feed, first: dt.date, last: dt.date) -> Iterator[dt.date]:
    for n in range((last - first).days + 1):
        day = first + dt.timedelta(days=n)
        if day >= feed.sender.start and feed.deliveries.expects(day):
            yield day


def _tell(connection: psycopg.Connection, alerts: Alerts, sender: Sender, seen: Sequence[_Seen]) -> None:
    for news in DeliveryNews:
        alerts.count_deliveries(news, [one.delivery for one in seen if one.counted is news])
        deliveries = [one.delivery for one in seen if one.news is news]
        if deliveries:
            told = alerts.delivered(news=news, deliveries=deliveries, sender=sender.name, timezone=sender.timezone)
            expectations.note(connection, deliveries, news, taken=told is not None or not alerts.has_channel)


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
        days: before today; none before the sender's first delivery, or the watch.
        ahead: days after today.
    """
    sender, named = feeds[0].sender, {feed.name: feed for feed in feeds}
    zone = ZoneInfo(sender.timezone)
    today = now.astimezone(zone).date()
    begun = expectations.first_day(connection, feeds) or today
    first = max(today - dt.timedelta(days=days), sender.start, min(begun, today))
    known = expectations.select(connection, feeds, since=first)
    expected = {
        (name, day)
        for name, feed in named.items()
        for day in _days_between(feed, first, today + dt.timedelta(days=ahead))
    }
    found = []
    told = {key for key, one in known.expectations.items() if one.told}
    for name, day in sorted(expected | told, key=lambda item: (item[1], [*named].index(item[0]))):
        calendar, before = named[name].deliveries, known.expectations.get((name, day))
        moments = known.arrivals.get((name, day), ())
        if before is None:
            moments = tuple(min(moment, calendar.due_at(day, zone)) for moment in moments)
        judged = judge(calendar, zone, feed=name, day=day, arrivals=moments, now=now)
        found.append(replace(before, delivery=judged) if before else Expectation(judged))
    return found
