"""What was due and what came of it (`ops.expectation`), and the arrivals that tell.

Belongs here: SQL. Does not belong here: when dumps are due (feeds/calendars.py), what is early, late or missing
(deliveries.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from claims_pipeline.vocabulary import Delivery, DeliveryNews, DeliveryState

Day = tuple[str, dt.date]
"""Feed ("sender/dataset") and delivery day."""

RETRY_AFTER = dt.timedelta(minutes=15)
"""The sensor looks every 15 seconds: a channel with a wrong token is not asked each time."""


@dataclass(frozen=True)
class Expectation:
    """A row of the table.

    Attributes:
        delivery: what was due, and what came of it when it was last looked at.
        told: what people were told of it, in this order.
        told_at: when the first of it was told, or, while nothing was, when that was last tried; UTC.
        recovered_at: when it was told, or last tried to tell, that missing dumps had come; UTC.
    """

    delivery: Delivery
    told: tuple[DeliveryNews, ...] = ()
    told_at: dt.datetime | None = None
    recovered_at: dt.datetime | None = None


def arrivals(
    connection: psycopg.Connection, feeds: Sequence[str], *, since: dt.date
) -> Mapping[Day, tuple[dt.datetime, ...]]:
    """When dumps of delivery days were uploaded (S3's LastModified, UTC), the first of each name, oldest first.

    A name that is delivered again is one dump. When it was uploaded is the sender's doing; when it was seen is ours.

    Args:
        connection: of the warehouse.
        feeds: names of the feeds.
        since: first delivery day.
    """
    rows = connection.execute(
        "select feed, delivery_day, array_agg(uploaded_at order by uploaded_at) from ("
        " select sender || '/' || dataset as feed, delivery_day, key, min(last_modified) as uploaded_at from ops.dump"
        " where sender = any(%s) and dataset = any(%s) and delivery_day >= %s group by 1, 2, 3) names"
        " where feed = any(%s) group by 1, 2",
        [
            [name.partition("/")[0] for name in feeds],
            [name.partition("/")[2] for name in feeds],
            since,
            list(feeds),
        ],
    )
    return {(feed, day): tuple(moments) for feed, day, moments in rows}


def first_day(connection: psycopg.Connection, sender: str) -> dt.date | None:
    """The first delivery day of which any feed of a sender has a dump; None before the first."""
    row = connection.execute(
        "select min(delivery_day) from ops.dump where sender = %s and dataset is not null", [sender]
    ).fetchone()
    return row[0] if row else None


def select(connection: psycopg.Connection, feeds: Sequence[str], *, since: dt.date) -> dict[Day, Expectation]:
    """The expectations of feeds since a delivery day."""
    rows = connection.execute(
        "select feed, delivery_day, state, due_at, dumps_due, dumps, completed_at, told, told_at, recovered_at"
        " from ops.expectation where feed = any(%s) and delivery_day >= %s",
        [list(feeds), since],
    )
    return {
        (feed, day): Expectation(
            Delivery(feed, day, DeliveryState(state), due_at, dumps_due, dumps, completed_at),
            tuple(map(DeliveryNews, told)),
            told_at,
            recovered_at,
        )
        for feed, day, state, due_at, dumps_due, dumps, completed_at, told, told_at, recovered_at in rows
    }


def last_days(connection: psycopg.Connection, feeds: Sequence[str]) -> dict[str, dt.date]:
    """The last delivery day of each feed that was ever watched."""
    query = "select feed, max(delivery_day) from ops.expectation where feed = any(%s) group by 1"
    return dict(connection.execute(query, [list(feeds)]).fetchall())


def remember(connection: psycopg.Connection, deliveries: Iterable[Delivery]) -> None:
    """Note how deliveries stand; what people were told stays."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.expectation (feed, delivery_day, state, due_at, dumps_due, dumps, completed_at)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict (feed, delivery_day)"
            " do update set state = excluded.state, due_at = excluded.due_at, dumps_due = excluded.dumps_due,"
            " dumps = excluded.dumps, completed_at = excluded.completed_at",
            [(d.feed, d.day, d.state.value, d.due_at, d.dumps_due, d.dumps, d.completed_at) for d in deliveries],
        )


def claim(connection: psycopg.Connection, feed: str, day: dt.date, news: DeliveryNews) -> bool:
    """Take it upon oneself to tell a piece of news; False where somebody told it, tells it, or failed to just now."""
    query = _CLAIM_RECOVERED if news is DeliveryNews.RECOVERED else _CLAIM
    named = {"news": news.value, "feed": feed, "day": day, "retry_after": RETRY_AFTER}
    return connection.execute(query, named).rowcount == 1


def release(connection: psycopg.Connection, feed: str, day: dt.date, news: DeliveryNews) -> None:
    """Give back what could not be told: a look tries again, `RETRY_AFTER` later."""
    connection.execute(
        "update ops.expectation set told = array_remove(told, %s) where feed = %s and delivery_day = %s",
        [news.value, feed, day],
    )


_CLAIM = """
update ops.expectation
set told = told || %(news)s::text, told_at = case when told = '{}' then now() else told_at end
where feed = %(feed)s and delivery_day = %(day)s and not %(news)s = any(told)
  and (told <> '{}' or told_at is null or told_at <= now() - %(retry_after)s)"""
_CLAIM_RECOVERED = """
update ops.expectation
set told = told || %(news)s::text, recovered_at = now()
where feed = %(feed)s and delivery_day = %(day)s and not %(news)s = any(told)
  and (recovered_at is null or recovered_at <= now() - %(retry_after)s)"""
